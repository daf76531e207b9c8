#!/bin/bash
# What `make quickstart` does, in small: train on real images, evaluate, compare, report.
. "$(dirname "$0")/lib.sh"
q="$root/configs/quickstart.yaml"
if [ ! -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]; then
    echo "skip: no Fashion-MNIST in /usr/share/datasets/fashion-mnist"
    exit 77
fi
small="--set ppo.episodes_per_update=32 --set ppo.buffer_episodes=32 --set ppo.minibatch_episodes=16 --set ppo.minibatches=4"
"$cox" train "$q" --out "$work/q" -j 3 --set updates=2 $small >"$work/log" 2>&1 || fail "train: $(tail -5 "$work/log")"
"$cox" eval "$q" --policy "$work/q/policy.safetensors" --out "$work/e" --rewards --tasks 8 -j 3 >"$work/log" 2>&1 || fail "eval: $(tail -5 "$work/log")"
for who in "policy, likeliest" "random actions" "no change" "replay of the mean" "replay, lr by N"; do
    grep -q "$who" "$work/log" || fail "eval does not tell of '$who'"
done
[ "$(wc -l <"$work/e/eval.jsonl")" = 8 ] || fail "not 8 tasks in eval.jsonl"
expect 2 "another --out" "$cox" eval "$q" --policy "$work/q/policy.safetensors" --out "$work/e" --rewards --tasks 8 -j 1
# the evaluation does not depend on the number of ranks
"$cox" eval "$q" --policy "$work/q/policy.safetensors" --out "$work/e1" --rewards --tasks 8 -j 1 >"$work/log" 2>&1 || fail "eval -j 1"
cmp "$work/e/eval.jsonl" "$work/e1/eval.jsonl" || fail "eval with 1 and 3 ranks differ"
# the suite of `make quickstart`, in small; the policy's network and start come from its file
smoke="--seeds 2 --set evaluation.tasks_per_entry=1 --set evaluation.trials=2 --set evaluation.learning_rates=[1e-2] --set evaluation.static_learning_rates=[1e-1] --set evaluation.sgd_learning_rates=[1e-1] --set evaluation.max_extensions=0"
"$cox" eval "$root/configs/eval/smoke.yaml" --policy "$work/q/policy.safetensors" --out "$work/s" -j 3 $smoke >"$work/log" 2>&1 || fail "smoke: $(tail -5 "$work/log")"
grep -q "all tasks (3)" "$work/log" && grep -q accuracy "$work/log" || fail "smoke says: $(cat "$work/log")"
expect 0 "report.html" "$cox" report "$work/s"
for what in "<b>Learning curves, validation</b>" "<b>Gap between validation and test" "accuracy" "coxswain eval "; do
    grep -q "$what" "$work/s/report.html" || fail "the evaluation's report does not tell of '$what'"
done
expect 0 "static control" "$cox" run "$q" --policy "$work/q/policy.safetensors" --compare --entry mlp --out "$work/q"
expect 0 "report.html" "$cox" report "$work/q"
grep -q "static control" "$work/q/report.html" || fail "the closing table is not in the report"
# a run by hand, with the decisions shown; and a named optimizer
expect 0 "test .*accuracy" "$cox" run "$q" --policy "$work/q/policy.safetensors" --entry mlp
expect 0 "test .*accuracy" "$cox" run "$q" --optimizer adamw --lr 3e-3 --schedule cosine --entry mlp
expect 2 "did you mean\|adamw" "$cox" run "$q" --optimizer adamv
finish
