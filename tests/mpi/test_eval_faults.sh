#!/bin/bash
# An evaluation is stopped, killed, goes on without a worker that was killed or stands still,
# starts again when rank 0 dies: the results are those of one that was left alone.
# COXSWAIN_FAULT_SEED repeats the random moments.
# shellcheck disable=SC2154,SC2086 # variables of lib.sh; lists of words
. "$(dirname "$0")/lib.sh"
seed=${COXSWAIN_FAULT_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
RANDOM=$((seed % 32768))
echo "seed $seed"
"$cox" train "$tiny" --out "$work/run" -j 1 --set updates=2 >/dev/null 2>&1 || fail "train"
words="$tiny --policy $work/run/policy.safetensors --seeds 2 --set evaluation.tasks_per_entry=3
    --set evaluation.learning_rates=[1e-2,1e-1] --set evaluation.static_learning_rates=[1e-1]
    --set evaluation.sgd_learning_rates=[1] --set evaluation.max_extensions=1 --set evaluation.trials=4
    --set workers.late_seconds=1"

# scaled WORDS...: so many inner steps per outer step that this evaluation takes some three
# seconds of a core here: faults are to come amid it. Processor time: others' load does not
# change it much.
TIMEFORMAT=%U
scaled() {
    local n=300 took
    took=$({ time "$cox" eval "$@" --out "$work/probe" -j 1 --set tasks.0.inner_per_outer=$n >/dev/null 2>&1; } 2>&1)
    rm -rf "$work/probe"
    awk -v t="$took" -v n=$n 'BEGIN { s = int(n * 3 / (t + 0.01)); if (s < n) s = n; if (s > 100000) s = 100000; print s }'
}
words="$words --set tasks.0.inner_per_outer=$(scaled $words)"
began=$(date +%s.%N)
"$cox" eval $words --out "$work/whole" -j 3 >"$work/log" 2>&1 || fail "whole: $(tail -5 "$work/log")"
all=$(stat -c %s "$work/whole/trials.bin")
echo "a whole one: $(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }') s"

bytes() { stat -c %s "$dir/trials.bin" 2>/dev/null || echo 0; }
# begin SHARE: the evaluation in $dir, until it has kept so much of the results (0..99 %)
begin() {
    "$cox" eval $words --out "$dir" -j 3 >"$dir.log" 2>&1 </dev/null &
    pid=$!
    while [ "$(bytes)" -lt $((all * $1 / 100)) ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
}
# at most nine tenths are there: it was not over but for leaving
amid() { [ "$(bytes)" -lt $((all * 9 / 10)) ]; }
ended() { # STATUS
    wait $pid
    local rc=$?
    [ $rc = "$1" ] || fail "$kind: exit $rc instead of $1: $(tail -5 "$dir.log")"
}
says() { grep -q "$1" "$dir.log" || fail "$kind: no '$1': $(tail -5 "$dir.log")"; }
check_end() {
    cmp -s <(figures "$work/whole/evaluation.json") <(figures "$dir/evaluation.json") || fail "$kind: the results differ"
    pgrep -f -- "--out $dir( |\$)" >/dev/null && fail "$kind: processes are left: $(pgrep -af -- "--out $dir( |\$)")"
}
# hit SIGNAL RANK: false where it comes too late
hit() {
    local victim
    victim=$(rank_pid "$dir" "$2")
    [ -n "$victim" ] && kill "-$1" "$victim" 2>/dev/null && amid
}

# Each begins $dir, does its fault, and says whether that came amid the evaluation.
killed_worker() {
    hit KILL $((1 + RANDOM % 2)) || return 1
    ended 0
    says "worker [12] on .* has died"
}
stopped_worker() {
    hit STOP $((1 + RANDOM % 2)) || return 1
    ended 0
    says "worker [12] on .* is late"
}
paused_worker() { # it comes back to jobs that others have done
    local rank=$((1 + RANDOM % 2))
    hit STOP $rank || return 1
    sleep 2
    kill -CONT "$(rank_pid "$dir" $rank)" 2>/dev/null
    ended 0
}
killed_coordinator() {
    hit KILL 0 || return 1
    ended 0
    says "a rank died; going on"
}
stopped() { # twice: in good order, and as by a power cut amid a record; the same command goes on
    amid || return 1
    kill -TERM $pid
    ended 75
    expect 0 "complete.*false" grep -o '"complete": *[a-z]*' "$dir/evaluation.json"
    begin $(($(bytes) * 100 / all + 10))
    amid || return 1
    kill_run "$dir" $pid
    truncate -s -7 "$dir/trials.bin"
    begin 0
    ended 0
}
for kind in killed_worker stopped_worker paused_worker killed_coordinator stopped; do
    for try in 1 2 3 4 5; do
        dir=$work/$kind-$try
        begin $((5 + RANDOM % 40))
        $kind && break
        kill_run "$dir" $pid
        [ $try = 5 ] && fail "$kind: five evaluations were over before the fault"
    done
    case $kind in *_worker) grep -q "a rank died" "$dir.log" && fail "$kind: a restart because of one worker: $(tail -5 "$dir.log")" ;; esac
    check_end
    echo "$kind: $(grep "trials in" "$dir.log" | tail -1)"
done

# `eval --rewards`: it keeps nothing, but a worker that dies or stands still costs it nothing else
words="$tiny --policy $work/run/policy.safetensors --rewards --tasks 24 --set workers.late_seconds=1"
words="$words --set tasks.0.inner_per_outer=$(scaled $words)"
"$cox" eval $words --out "$work/r" -j 1 >"$work/log" 2>&1 || fail "rewards: $(tail -5 "$work/log")"
cpu() { awk -v hertz="$(getconf CLK_TCK)" '{ printf "%d", 100 * ($14 + $15) / hertz }' "/proc/$1/stat" 2>/dev/null || echo 1000000; }
for signal in KILL STOP; do
    kind="rewards, $signal"
    for try in 1 2 3 4 5; do
        dir=$work/r-$signal-$try
        "$cox" eval $words --out "$dir" -j 3 >"$dir.log" 2>&1 </dev/null &
        pid=$!
        victim=
        while [ -z "$victim" ] && kill -0 $pid 2>/dev/null; do victim=$(rank_pid "$dir" 1); done
        # hundredths of a second of its own time: a start takes some 20, its share of the jobs 150
        for_now=$((40 + RANDOM % 40))
        while kill -0 "$victim" 2>/dev/null && [ "$(cpu "$victim")" -lt $for_now ]; do sleep 0.01; done
        kill -$signal "$victim" 2>/dev/null
        ended 0
        grep -q "worker 1 on .* \(has died\|is late\)" "$dir.log" && break
        [ $try = 5 ] && fail "$kind: five evaluations were over before the fault"
    done
    cmp "$work/r/eval.jsonl" "$dir/eval.jsonl" || fail "$kind: the results differ"
    echo "$kind: $(grep "worker 1 on" "$dir.log" | head -1)"
done
finish
