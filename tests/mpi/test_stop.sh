#!/bin/bash
# Stopping in good order, by all that can ask for it besides SIGTERM and DIR/stop (those are
# in test_resume.sh): the time that is left, and a signal that reaches a worker only, even
# amid long work. And what launcher and ranks do with Slurm's variables and with what dead
# ranks left behind.
# shellcheck disable=SC2154 # variables of lib.sh
. "$(dirname "$0")/lib.sh"

# --time-left: stops early enough, with a checkpoint; goes on from there; the same end
train() { "$cox" train "$tiny" --set ppo.anneal_to=1 "$@"; }
expect 75 "stopped after update 0" train --out "$work/t" -j 1 --time-left 0
start=$SECONDS
expect 75 "stopped after update" train --out "$work/t" --resume -j 3 --time-left 4 --set updates=100000 --set checkpoint.every_updates=1000
[ $((SECONDS - start)) -le 60 ] || fail "--time-left 4 took $((SECONDS - start)) s"
updates=$(($(lines "$work/t/metrics.jsonl") + 10))
expect 0 "$updates updates" train --out "$work/t" --resume -j 2 --set updates=$updates
expect 0 "$updates updates" train --out "$work/whole" -j 1 --set updates=$updates
cmp "$work/whole/policy.safetensors" "$work/t/policy.safetensors" || fail "after --time-left the weights differ"
expect 2 "time-left" "$cox" train "$tiny" --out "$work/x" --time-left soon
expect 2 "time-left" "$cox" train "$tiny" --out "$work/x" --time-left -5

# finished episodes that no update has used are kept: an update needs 16, some are there
cat >"$work/slow.yaml" <<Y
updates: 3
mode: synchronous
episode: {environment_reuse: 1}
reward: {learning_rates: [1e-2], max_extensions: 0, length_factor: 1}
policy: {hidden: 8, lstm: 8}
ppo: {episodes_per_update: 16, buffer_episodes: 16, minibatch_episodes: 8, minibatches: 2}
workers: {prefetch: 1}
tasks: [{family: nqm, outer_steps: 10, inner_per_outer: 10000, dimension: 1000, conditioning: 100, noise: 0.5}]
Y
"$cox" train "$work/slow.yaml" --out "$work/slow" -j 3 >"$work/log" 2>&1 </dev/null &
pid=$!
while [ "$(lines "$work/slow/episodes.jsonl")" -lt 4 ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -USR1 "$(rank_pid "$work/slow" 2)" || fail "no worker"
wait $pid
rc=$?
[ $rc = 75 ] || fail "a signal to a worker: exit $rc instead of 75: $(tail -5 "$work/log")"
kept=$(lines "$work/slow/episodes.jsonl")
{ [ "$kept" -ge 4 ] && [ "$kept" -lt 16 ]; } || fail "$kept episodes: the test does not test"
expect 75 "update 0, $kept episodes" "$cox" train "$work/slow.yaml" --out "$work/slow" --resume -j 2 --time-left 0
[ "$(lines "$work/slow/episodes.jsonl")" = "$kept" ] || fail "finished episodes were lost"

# a worker amid an endless episode does not keep a run from stopping
sed 's/inner_per_outer: 10000/inner_per_outer: 100000/; s/outer_steps: 10/outer_steps: 1000/' "$work/slow.yaml" >"$work/endless.yaml"
"$cox" train "$work/endless.yaml" --out "$work/endless" -j 3 >"$work/log" 2>&1 </dev/null &
pid=$!
while [ ! -e "$work/endless/config.yaml" ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
sleep 1
start=$SECONDS
kill -USR1 $pid
wait $pid
rc=$?
[ $rc = 75 ] || fail "endless episodes: exit $rc instead of 75: $(tail -5 "$work/log")"
[ $((SECONDS - start)) -le 60 ] || fail "endless episodes: stopped after $((SECONDS - start)) s"

# Ctrl-Z: the ranks stop with their launcher, and go on with it, however long that was
"$cox" train "$tiny" --out "$work/pause" -j 3 --set updates=1000000 --set workers.silence_seconds=5 >"$work/log" 2>&1 </dev/null &
pid=$!
line_comes "$work/pause/metrics.jsonl" $pid
kill -TSTP $pid
stopped() { [ "$(ps -o stat= -p "$1" | cut -c1)" = T ]; }
for rank in 0 1 2; do
    victim=$(rank_pid "$work/pause" $rank)
    until stopped "$victim" || ! kill -0 "$victim" 2>/dev/null; do sleep 0.05; done
done
made=$(lines "$work/pause/metrics.jsonl")
sleep 7
stopped $pid || fail "Ctrl-Z: the launcher goes on"
[ "$(lines "$work/pause/metrics.jsonl")" = "$made" ] || fail "Ctrl-Z: the ranks go on"
kill -CONT $pid
while [ "$(lines "$work/pause/metrics.jsonl")" -lt $((made + 5)) ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -TERM $pid
wait $pid
rc=$?
[ $rc = 75 ] || fail "Ctrl-Z: exit $rc instead of 75: $(tail -5 "$work/log")"
grep "a rank died\|has died\|is late\|silent" "$work/log" && fail "Ctrl-Z: somebody was missed"

# a rank that crashes while the ranks start: they are started again, not for ever
mkdir "$work/bin"
cat >"$work/bin/mpirun" <<S
#!/bin/bash
echo >>"$work/starts"
[ "\$(wc -l <"$work/starts")" -gt "\$CRASHES" ] || exit 139
exec $(command -v mpirun) "\$@"
S
chmod +x "$work/bin/mpirun"
crashing() { PATH="$work/bin:$PATH" CRASHES=$1 "$cox" train "$tiny" --out "$work/crash" -j 2 --set updates=2; }
expect 0 "2 updates" crashing 2
[ "$(lines "$work/starts")" = 3 ] || fail "crashes at the start: $(lines "$work/starts") starts"
rm -rf "$work/crash" "$work/starts"
expect 1 "a rank died" crashing 1000
[ "$(lines "$work/starts")" = 4 ] || fail "crashes at each start: $(lines "$work/starts") starts"

# the launcher in a Slurm job
expect 2 "mpirun or srun" "$cox" train "$tiny" --out "$work/x" --launcher ssh -j 2
expect 2 "inside a Slurm job" env -u SLURM_JOB_ID "$cox" train "$tiny" --out "$work/x" --launcher srun -j 2
expect 0 "on 7 ranks" env -u SLURM_NTASKS SLURM_TASKS_PER_NODE="2(x3),1" "$cox" check "$tiny"
expect 0 "on 5 ranks" env SLURM_NTASKS=5 SLURM_TASKS_PER_NODE="2(x3),1" "$cox" check "$tiny"

# shared memory of dead ranks: removed when old and mapped by nobody
if [ -w /dev/shm ]; then
    mine=/dev/shm/vader_segment.$(hostname -s).$(id -u).test$$
    printf 12345678 >"$mine.1"
    python3 -c 'import mmap, sys, time
f = open(sys.argv[1], "r+b")
m = mmap.mmap(f.fileno(), 8)
print("mapped", flush=True)
time.sleep(600)' "$mine.1" >"$work/mapped" &
    pid=$!
    line_comes "$work/mapped" $pid
    touch -d '2 minutes ago' "$mine.0" "$mine.1" # mapped before: another run here may look, too
    touch "$mine.2"
    expect 0 "1 updates" "$cox" train "$tiny" --out "$work/shm" -j 2 --set updates=1
    [ ! -e "$mine.0" ] || fail "an orphan in /dev/shm was left"
    [ -e "$mine.1" ] || fail "a segment that is in use was removed"
    [ -e "$mine.2" ] || fail "a new segment was removed"
    kill $pid
    rm -f "$mine".*
fi
finish
