#!/bin/bash
# A run killed with SIGKILL at several moments goes on from its newest whole checkpoint
# and, in synchronous mode, ends with the weights of one that was never interrupted.
. "$(dirname "$0")/lib.sh"
"$cox" train "$tiny" --out "$work/whole" -j 1 >"$work/log" 2>&1 || fail "whole: $(tail -5 "$work/log")"
kills=0
resume=""
for i in $(seq 1 60); do
    # every start runs a little longer than the last, and is then killed with all its ranks
    setsid "$cox" train "$tiny" --out "$work/cut" $resume -j 3 >"$work/log" 2>&1 </dev/null &
    pid=$!
    sleep "$(awk "BEGIN {print 0.4 + 0.07 * $i}")"
    if kill -0 $pid 2>/dev/null; then
        # the launcher first, or it would start the ranks again
        kill -KILL $pid 2>/dev/null
        pkill -KILL -f -- "--out $work/cut" 2>/dev/null
        kills=$((kills + 1))
        wait $pid 2>/dev/null
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
[ $kills -ge 3 ] || fail "the run was over after $kills kills: this test needs a longer one"
cmp "$work/whole/policy.safetensors" "$work/cut/policy.safetensors" || fail "the weights differ"
n=$(grep -o '"episode":[0-9]*' "$work/cut/episodes.jsonl" | sort -u | wc -l)
m=$(wc -l <"$work/cut/episodes.jsonl")
[ "$n" = 96 ] && [ "$m" = 96 ] || fail "$m lines, $n episodes, not 96"

# SIGTERM: in good order, exit 75, and the same end
"$cox" train "$tiny" --out "$work/term" -j 3 >"$work/log" 2>&1 </dev/null &
pid=$!
while [ ! -s "$work/term/metrics.jsonl" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -TERM $pid
wait $pid
rc=$?
if [ $rc = 75 ]; then
    "$cox" train "$tiny" --out "$work/term" --resume -j 2 >"$work/log" 2>&1 || fail "resume after TERM: $(tail -5 "$work/log")"
else
    fail "SIGTERM: exit $rc instead of 75: $(tail -5 "$work/log")"
fi
cmp "$work/whole/policy.safetensors" "$work/term/policy.safetensors" || fail "after SIGTERM the weights differ"

# a file DIR/stop does the same, and a damaged newest checkpoint is passed over
"$cox" train "$tiny" --out "$work/stop" -j 1 --set updates=3 >"$work/log" 2>&1 || fail "three updates"
touch "$work/stop/stop"
expect 75 "stopped" "$cox" train "$tiny" --out "$work/stop" --resume -j 1
rm "$work/stop/stop"
newest=$(ls -d "$work"/stop/checkpoints/0* | tail -1)
printf 'X' | dd of="$newest/$(ls -S "$newest" | head -1)" bs=1 seek=200 conv=notrunc 2>/dev/null
expect 0 "" "$cox" train "$tiny" --out "$work/stop" --resume -j 1
cmp "$work/whole/policy.safetensors" "$work/stop/policy.safetensors" || fail "after a damaged checkpoint the weights differ"
finish
