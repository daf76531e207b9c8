#!/bin/bash
# A run killed with SIGKILL at several moments goes on from its newest whole checkpoint
# and, in synchronous mode, ends with the weights of one that was never interrupted.
. "$(dirname "$0")/lib.sh"
"$cox" train "$tiny" --out "$work/whole" -j 1 >"$work/log" 2>&1 || fail "whole: $(tail -5 "$work/log")"
kills=0
resume=""
for i in $(seq 0 20); do
    # every start makes some eight more updates, then is killed with all its ranks a
    # moment later: before, amid or after a checkpoint; the first one before any
    setsid "$cox" train "$tiny" --out "$work/cut" $resume -j 3 >"$work/log" 2>&1 </dev/null &
    pid=$!
    while [ "$(lines "$work/cut/metrics.jsonl")" -lt $((8 * i)) ] && kill -0 $pid 2>/dev/null; do sleep 0.005; done
    sleep "0.0$((i * 3 % 10))$((i * 7 % 10))"
    if kill -0 $pid 2>/dev/null; then
        kill_run "$work/cut" $pid
        kills=$((kills + 1))
    else
        wait $pid
        rc=$?
        [ $rc = 0 ] && break
        fail "start $i: exit $rc: $(tail -5 "$work/log")"
        break
    fi
    [ -e "$work/cut/config.yaml" ] && resume=--resume
done
echo "killed $kills times"
[ $kills -ge 4 ] || fail "the run was over after $kills kills"
cmp "$work/whole/policy.safetensors" "$work/cut/policy.safetensors" || fail "the weights differ"
n=$(grep -o '"episode":[0-9]*' "$work/cut/episodes.jsonl" | sort -u | wc -l)
m=$(wc -l <"$work/cut/episodes.jsonl")
[ "$n" = 960 ] && [ "$m" = 960 ] || fail "$m lines, $n episodes, not 960"

# SIGTERM: in good order, exit 75; a file DIR/stop does the same; a damaged newest
# checkpoint is passed over; and still the same end. How many updates there are is decided
# when it has stopped, however fast it is: without annealing, no update depends on that.
train() { "$cox" train "$tiny" --set ppo.anneal_to=1 "$@"; }
"$cox" train "$tiny" --set ppo.anneal_to=1 --out "$work/term" -j 3 --set updates=100000 >"$work/log" 2>&1 </dev/null &
pid=$!
while [ "$(lines "$work/term/metrics.jsonl")" -lt 3 ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -TERM $pid
wait $pid
rc=$?
[ $rc = 75 ] || fail "SIGTERM: exit $rc instead of 75: $(tail -5 "$work/log")"
touch "$work/term/stop"
expect 75 "stopped" train --out "$work/term" --resume -j 1 --set updates=100000
[ -e "$work/term/stop" ] && fail "the stop file is still there: --resume would stop at once"
newest=$(ls -d "$work"/term/checkpoints/0* | tail -1)
printf 'XXXX' | dd of="$newest/learner" bs=1 seek=200 conv=notrunc 2>/dev/null || fail "nothing to damage"
updates=$(($(lines "$work/term/metrics.jsonl") + 5))
expect 0 "$(basename "$newest")" train --out "$work/term" --resume -j 2 --set updates=$updates
expect 0 "$updates updates" train --out "$work/whole2" -j 1 --set updates=$updates
cmp "$work/whole2/policy.safetensors" "$work/term/policy.safetensors" || fail "after SIGTERM and damage the weights differ"
finish
