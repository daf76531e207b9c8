# What the fault tests share: a run, a fault at a random moment, and whether the run ended as
# one that was left alone. Sourced after lib.sh. Every run is one of `tiny`, in synchronous
# mode: its weights at the end must be the same, bit by bit.
# shellcheck shell=bash disable=SC2154,SC2034 # variables of lib.sh; those read by the scripts
seed=${COXSWAIN_FAULT_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
RANDOM=$((seed % 32768))
# 0.00 to 0.99
fraction() { printf '0.%02d' $((RANDOM % 100)); }
below() { echo $((RANDOM % $1)); }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
alive() { kill -0 "$1" 2>/dev/null; }

# The weights that all runs must end with. Runs have so many updates that they last a second or
# more on this machine: a fault is to come amid them, and a look at a run takes some of its time.
reference() {
    train_words=(--set workers.late_seconds=1 --set workers.silence_seconds=20)
    dir=$work/pace
    begin --set updates=20
    ended 0 || fail "pace: $wrong: $(tail -5 "$dir.log")"
    read -r updates pace < <(python3 - "$dir/metrics.jsonl" <<'P'
import json, sys
at = [json.loads(x)["seconds"] for x in open(sys.argv[1])]
pace = max(1e-4, sorted(b - a for a, b in zip(at, at[1:]))[len(at) // 4])
print(min(400, max(40, int(1.2 / pace))), pace)
P
    )
    echo "$updates updates, about $pace s each"
    train_words+=(--set updates="$updates")
    "$cox" train "$tiny" "${train_words[@]}" --out "$work/reference" -j 1 >"$work/log.reference" 2>&1 ||
        fail "reference: $(tail -5 "$work/log.reference")"
}
# begin [ARGUMENTS...]: a run in $dir with a log, in the background: its launcher in $pid
begin() {
    "$cox" train "$tiny" "${train_words[@]}" --out "$dir" -j "${ranks:-3}" "$@" >>"$dir.log" 2>&1 </dev/null &
    pid=$!
}
# reach N: until it has made N updates, or is over
reach() {
    while [ "$(lines "$dir/metrics.jsonl")" -lt "$1" ] && alive "$pid"; do sleep 0.01; done
}
# Amid the run: at a random update of its first two thirds, and at a random moment in the
# next two updates' time. Who is who is looked up before: that takes longer than an update.
moment() {
    local rank
    reach 1
    for rank in 0 1 2 3; do
        victims[rank]=$(rank_pid "$dir" $rank)
    done
    reach $((1 + $(below $((updates * 2 / 3)))))
    sleep "$(awk -v pace="$pace" -v share="$(fraction)" 'BEGIN { printf "%.4f", 2 * pace * share }')"
}
# After the fault: false where it came so late that the run may have been over but for leaving
amid() { [ "$(lines "$dir/metrics.jsonl")" -le $((updates - 3)) ]; }
# hit SIGNAL RANK: false where the rank is not there (any more)
hit() {
    local victim=${victims[$2]}
    [ -n "$victim" ] && kill "-$1" "$victim" 2>/dev/null
}
# back_after SECONDS_OF_FAULT: waits for two more updates; how long they took, in `back`. An
# update that was under way may still end without the dead one's help; the second one cannot.
back_after() {
    local made
    made=$(lines "$dir/metrics.jsonl")
    local newest=$made
    while [ "$newest" -lt $((made + 2)) ] && alive "$pid"; do
        sleep 0.01
        newest=$(lines "$dir/metrics.jsonl")
        [ "$newest" -ge "$made" ] || made=$newest # cut back to the checkpoint by a restart
    done
    back=$(since "$1")
}
# ended STATUS: waits for the run and its exit status
ended() {
    wait "$pid"
    local rc=$?
    [ "$rc" = "$1" ] || { complain "exit $rc instead of $1"; return 1; }
}
complain() {
    wrong="${wrong:+$wrong; }$*"
}
# What is in episodes.jsonl at the fault: all of that must be there at the end, the same.
snapshot() { cp "$dir/episodes.jsonl" "$dir.snapshot" 2>/dev/null; }
# Every episode once, in whole updates (number e is of update e / 16), and those of the
# snapshot as they were, but for who did them in which time. Prints how many are missing, and
# how many were done twice: handed out again, or younger than the checkpoint gone on from.
check_episodes() {
    python3 - "$dir" "$updates" <<'P'
import json, os, re, sys
dir, updates = sys.argv[1], int(sys.argv[2])
def read(path):
    whole = open(path).read() if os.path.exists(path) else ""
    return [json.loads(x) for x in whole[:whole.rfind("\n") + 1].splitlines()]
def bare(x):
    return {k: v for k, v in x.items() if k not in ("rank", "seconds", "cpu_seconds")}
lines, before = read(dir + "/episodes.jsonl"), read(dir + ".snapshot")
seen = [x["episode"] for x in lines]
made = [x["update"] for x in read(dir + "/metrics.jsonl")]
wrong = []
if sorted(seen) != list(range(16 * updates)):
    wrong.append("not every episode once")
if [e // 16 for e in seen] != sorted(e // 16 for e in seen):
    wrong.append("episodes of an update before those of an earlier one")
if made != list(range(1, updates + 1)):
    wrong.append("not every update once")
by_number = {x["episode"]: bare(x) for x in lines}
lost = sum(x["episode"] not in by_number for x in before)
if any(by_number.get(x["episode"], bare(x)) != bare(x) for x in before):
    wrong.append("an episode that was done again differs")
again = max((x.get("reissued", 0) for x in read(dir + "/metrics.jsonl")), default=0)
for n in re.findall(r"going on from .*, (\d+) episodes;", open(dir + ".log").read())[:1]:
    again += max(0, len(before) - int(n))
print(lost, again, ", ".join(wrong))
P
}
# The end of a run that was hit: weights, lines, no process left. Sets `lost` and `again`.
check_end() {
    local words
    [ "$(weights "$dir")" = "$(weights "$work/reference")" ] || complain "the weights differ"
    read -r lost again words < <(check_episodes)
    [ "${lost:-}" = 0 ] || complain "${lost:-all} episodes lost"
    [ -z "$words" ] || complain "$words"
    pgrep -f -- "--out $dir( |\$)" >/dev/null && complain "processes are left: $(pgrep -af -- "--out $dir( |\$)")"
    return 0
}

# --- the faults: each makes a whole run in $dir; `back`, `lost`, `again`, `wrong` tell ---

# One worker is killed, stopped, stopped for a while, slow: the run goes on without it.
worker_fault() { # KIND [RANK [ARGUMENTS...]]
    local t i kind=$1 rank=${2:-$((1 + $(below 2)))} signal=$1
    case $1 in pause | slow) signal=STOP ;; esac
    shift $(($# > 1 ? 2 : 1))
    begin "$@"
    moment
    t=$(now)
    { hit "$signal" "$rank" && amid; } || return 1
    case $kind in
    pause)
        sleep 2.5
        hit CONT "$rank"
        ;;
    slow) # at a tenth of its speed
        for i in $(seq 12); do
            sleep 0.45
            hit CONT "$rank" || break
            sleep 0.05
            hit STOP "$rank" || break
        done &
        ;;
    esac
    snapshot
    back_after "$t"
    ended 0
    grep -q "a rank died" "$dir.log" && complain "a restart because of one worker"
    check_end
}
kill_worker() { worker_fault KILL; }
segv_worker() { worker_fault SEGV; }
stop_worker() { worker_fault STOP; }
pause_worker() { worker_fault pause; }
slow_worker() { worker_fault slow; }
# The only learner rank: rank 0 computes what it held.
learner_fault() { # KIND
    local ranks=4
    worker_fault "$1" 3 --set workers.learner_ranks=1
    local hit=$?
    [ $hit = 0 ] && [ -z "$wrong" ] && [ "$1" != pause ] &&
        { grep -q "learner rank 3 .* \(has died\|is late\)" "$dir.log" || complain "nobody missed the learner rank"; }
    return $hit
}
kill_learner() { learner_fault KILL; }
stop_learner() { learner_fault STOP; }
pause_learner() { learner_fault pause; }

# The coordinator dies, or all workers: the launcher goes on from the newest checkpoint.
restart_fault() { # RANK...
    local t rank
    begin
    moment
    t=$(now)
    for rank in "$@"; do
        hit KILL "$rank" || return 1
    done
    amid || return 1
    snapshot
    back_after "$t"
    ended 0
    grep -q "a rank died; going on" "$dir.log" || complain "no restart"
    check_end
}
kill_coordinator() { restart_fault 0; }
kill_workers() { restart_fault 1 2; }

kill_everything() {
    kill_run "$dir" "$pid"
    snapshot
}
resume() {
    local t
    t=$(now)
    begin --resume
    back_after "$t"
    ended 0
    check_end
}
kill_all() {
    begin
    moment
    kill_everything
    amid || return 1
    resume
}

# A bit is flipped, or the end cut off, in a file of the newest checkpoint: it is named, and the
# one before is taken.
damage_checkpoint() {
    local newest file size at byte
    begin
    moment
    kill_everything
    amid || return 1
    newest=$(for f in "$dir"/checkpoints/*[0-9]/DONE; do dirname "$f"; done | tail -1)
    [ -d "$newest" ] || return 1
    file=$(find "$newest" -type f | sort | sed -n "$((1 + $(below 4)))p")
    size=$(stat -c %s "$file")
    at=$(((RANDOM * 32768 + RANDOM) % size))
    if [ "$(below 2)" = 0 ]; then
        truncate -s "$at" "$file"
    else
        byte=$(od -An -tu1 -j "$at" -N 1 "$file")
        # shellcheck disable=SC2059 # an octal escape
        printf "\\$(printf '%03o' $((byte ^ (1 << $(below 8)))))" | dd of="$file" bs=1 seek="$at" conv=notrunc 2>/dev/null
    fi
    [ "$(find "$dir/checkpoints" -name DONE | wc -l)" -gt 1 ] || return 1
    : >"$dir.log"
    resume
    grep -q "$(basename "$newest")" "$dir.log" || complain "not a word about $file ($at of $size): $(head -3 "$dir.log")"
}

# A run that cannot write ends with 1 and a word about the file; afterwards it goes on.
until_refused() { # what it is to say
    ended 1
    snapshot
    grep -q "coxswain train: .*$dir.*$1" "$dir.log" || complain "it did not say what it could not write: $(tail -3 "$dir.log")"
}
full_disk() { # $disk is a small file system
    local rc
    dir=$disk/$(basename "$dir")
    begin
    moment
    { hit STOP 0 && amid; } || return 1 # stopped: it would be over before the disk is full
    dd if=/dev/zero of="$disk/fill" bs=64k 2>/dev/null
    hit CONT 0
    until_refused "disk is full\\|No space left"
    rm -f "$disk/fill"
    resume
    rc=$?
    rm -rf "$dir"
    return $rc
}
open_disk() { # false where that may not be done
    disk=$work/disk
    mkdir -p "$disk"
    [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=12m coxswain-test "$disk" 2>/dev/null || return 1
    trap 'umount "$disk" 2>/dev/null; rm -rf "$work"' EXIT
}

# The folder of checkpoints may not be written any more. Root may write everywhere: the run
# is another user's then, with a copy of the program that it can reach.
write_protected() {
    local as=()
    mkdir -p "$dir"
    if [ "$(id -u)" = 0 ]; then
        as=(setpriv --reuid=65534 --regid=65534 --clear-groups env TMPDIR=/tmp HOME=/tmp)
        chmod 755 "$work"
        [ -x "$work/coxswain" ] || { cp "$cox" "$work/coxswain" && cp "$tiny" "$work/tiny.yaml"; }
        chmod 755 "$work/coxswain" "$work/tiny.yaml"
        chown 65534:65534 "$dir"
        local cox=$work/coxswain tiny=$work/tiny.yaml
    fi
    local own=$cox
    # shellcheck disable=SC2317 # called as $cox
    run_as() { "${as[@]}" "$own" "$@"; }
    cox=run_as
    begin
    moment
    { chmod 555 "$dir/checkpoints" && amid; } || return 1
    until_refused "Permission denied"
    chmod 755 "$dir/checkpoints"
    resume
}

# Started by hand, without a launcher that looks after it: the workers of a dead coordinator
# end by themselves.
orphans() {
    local t
    mpirun --mca orte_enable_recovery 1 --mca plm isolated --oversubscribe --bind-to none -n 3 \
        "$cox" train "$tiny" "${train_words[@]}" --out "$dir" >>"$dir.log" 2>&1 </dev/null &
    pid=$!
    moment
    { hit KILL 0 && amid; } || return 1
    t=$(now)
    timeout 60 tail --pid="$pid" -f /dev/null || complain "workers outlive rank 0"
    back=$(since "$t")
    snapshot
    kill_everything
    resume
}

# Two runs are started on one folder: one of them is refused (2) with a word why, and the
# other one does not notice.
two_runs() {
    local t first second codes
    begin
    first=$pid
    sleep "$(fraction)"
    t=$(now)
    "$cox" train "$tiny" "${train_words[@]}" --out "$dir" -j 2 >"$dir.second" 2>&1 </dev/null &
    second=$!
    wait $first
    codes=$?
    wait $second
    codes="$codes $?"
    back=0
    case $codes in
    "0 2") grep -q "$dir" "$dir.second" || complain "refused without a word: $(tail -2 "$dir.second")" ;;
    "2 0") grep -q "$dir" "$dir.log" || complain "refused without a word: $(tail -2 "$dir.log")" ;;
    *) complain "exits $codes: $(tail -1 "$dir.log") :: $(tail -1 "$dir.second")" ;;
    esac
    check_end
}

# once KIND: a run with that fault. False where it was over before the fault came.
once() {
    runs=$((${runs:-0} + 1))
    dir=$work/$1-$runs
    wrong='' back='' lost='' again=''
    "$1"
    local hit=$?
    [ $hit = 0 ] || kill_run "$dir" "$pid" # one of its ranks may be stopped
    rm -rf "$dir" "$dir.snapshot"
    return $hit
}
