#!/bin/bash
# `run --checkpoint`: stopped by signals and killed without notice, it ends with the bits of
# a run that never stopped; what it cannot go on from it refuses.
. "$(dirname "$0")/lib.sh"
cat >"$work/t.yaml" <<Y
data: {text: $root/docs/developer.md}
episode: {outer_examples: 16, final_examples: 64}
tasks:
  - {family: text, outer_steps: 4, inner_steps: 12000, context: 8, tokens: 64, embedding: 16, heads: 2, layers: 1, hidden: 16, dropout: 0.1, test_windows: 200}
Y
run() { "$cox" run "$work/t.yaml" --optimizer adamw --lr 3e-3 --schedule cosine --json "$@"; }
run_exec() { exec "$cox" run "$work/t.yaml" --optimizer adamw --lr 3e-3 --schedule cosine --json "$@"; }
began=$(date +%s.%N)
run --save "$work/whole.st" >"$work/whole" 2>"$work/log" || fail "whole: $(cat "$work/log")"
share=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print (b - a) / 20 }') # of its time
end() { tail -1 "$1" | sed 's/, "seconds.*//'; }

# SIGTERM, SIGINT and SIGKILL, in turn, until it is done
starts=0 killed=0 rc=75
while [ $starts -lt 60 ]; do
    run_exec --checkpoint "$work/state" --every 0.05 --save "$work/cut.st" >>"$work/cut" 2>>"$work/log" </dev/null &
    pid=$!
    sleep "$(awk -v s="$share" -v n=$((2 + starts % 4)) 'BEGIN { print 0.05 + n * s }')"
    case $((starts % 3)) in
    0) kill -TERM $pid ;;
    1) kill -INT $pid ;;
    2) kill -KILL $pid ;;
    esac 2>/dev/null
    wait $pid 2>/dev/null
    rc=$?
    starts=$((starts + 1))
    case $rc in
    0) break ;;
    75 | 137 | 143 | 130) killed=$((killed + 1)) ;; # 143, 130: before the signals are caught
    *) fail "start $starts: exit $rc: $(tail -3 "$work/log")" ;;
    esac
done
echo "interrupted $killed times"
[ $killed -ge 2 ] || fail "it was over too soon to be interrupted"
if [ $rc != 0 ]; then run --checkpoint "$work/state" --save "$work/cut.st" >>"$work/cut" 2>>"$work/log" || fail "the last start"; fi
grep -q "going on after step" "$work/log" || fail "nobody was told that it goes on"
cmp "$work/whole.st" "$work/cut.st" || fail "the weights differ"
[ "$(end "$work/whole")" = "$(end "$work/cut")" ] || fail "the figures differ: $(end "$work/whole") $(end "$work/cut")"
# the printed curve: every line of the whole run stands in the other one's output
grep '"step"' "$work/whole" | while read -r line; do grep -qF -- "$line" "$work/cut" || echo "$line"; done >"$work/missing"
[ -s "$work/missing" ] && fail "lines of the curve are missing: $(head -2 "$work/missing")"

# a second process on the same state is told of the first
run_exec --checkpoint "$work/busy" --set tasks.0.inner_steps=1000000 >/dev/null 2>&1 </dev/null &
pid=$!
line_comes "$work/busy" $pid
expect 2 "in use by process $pid@" run --checkpoint "$work/busy" --set tasks.0.inner_steps=1000000
kill -TERM $pid
wait $pid
[ $? = 75 ] || fail "the first process was disturbed"

# done: the same command says the same again, at once
run --checkpoint "$work/state" >"$work/again" 2>&1 || fail "again"
[ "$(end "$work/whole")" = "$(end "$work/again")" ] || fail "a finished run says something else"
# of another run, damaged, not a state, not to be written
before=$(md5sum <"$work/state")
base=("$cox" run "$work/t.yaml" --optimizer adamw --checkpoint "$work/state")
expect 2 'it has "lr 0.003.*this one "lr 0.001' "${base[@]}" --lr 1e-3 --schedule cosine
expect 2 "schedule cosine" "${base[@]}" --lr 3e-3
expect 2 "optimizer adamw" "$cox" run "$work/t.yaml" --optimizer adam --lr 3e-3 --schedule cosine --checkpoint "$work/state"
expect 2 "task text" "${base[@]}" --lr 3e-3 --schedule cosine --set tasks.0.hidden=8
expect 2 "seed" "${base[@]}" --lr 3e-3 --schedule cosine --instance 1
[ "$before" = "$(md5sum <"$work/state")" ] || fail "a refused command changed the state"
head -c 5000 "$work/state" >"$work/short"
expect 2 "cut short or corrupt" "$cox" run "$work/t.yaml" --optimizer adamw --lr 3e-3 --schedule cosine --checkpoint "$work/short"
expect 2 "not a file of a run's state" "$cox" run "$work/t.yaml" --optimizer adamw --checkpoint "$work/t.yaml"
expect 1 "$work/none/state" "$cox" run "$work/t.yaml" --optimizer adamw --checkpoint "$work/none/state"
expect 2 "want --optimizer" "$cox" run "$work/t.yaml" --policy "$work/p" --checkpoint "$work/x"
expect 2 "want --optimizer" "$cox" run "$work/t.yaml" --policy "$work/p" --save "$work/x"
expect 2 "wants --checkpoint" "$cox" run "$work/t.yaml" --optimizer adamw --every 5
finish
