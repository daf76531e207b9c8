#!/bin/bash
# The evaluation of the whole program: it evaluates itself (an optimizer against itself is 1 x
# as fast, against one that is slowed down by half 2 x, a planted leak is found), does not depend
# on the number of ranks, and shares what it has done. Stops and faults: test_eval_faults.sh.
. "$(dirname "$0")/lib.sh"
# ask FILE EXPRESSION: a Python expression of the results r
ask() { python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }
holds() { [ "$(ask "$1" "$2")" = True ] || fail "$1: not so: $2"; }
small="--set evaluation.learning_rates=[1e-2,1e-1] --set evaluation.static_learning_rates=[1e-1] --set evaluation.sgd_learning_rates=[1] --set evaluation.max_extensions=1 --set evaluation.trials=4"
alone="--set evaluation.static_control=false --set evaluation.sgd=false --set evaluation.trials=0"

"$cox" train "$tiny" --out "$work/run" -j 1 --set updates=2 >/dev/null 2>&1 || fail "train"
policy="$work/run/policy.safetensors"
suite="$tiny --policy $policy --seeds 2 --set evaluation.tasks_per_entry=3 $small"
eval_tiny() { "$cox" eval $suite "$@"; }

# one rank and three say the same; every contestant and table is there; a second call does nothing
eval_tiny --out "$work/e1" -j 1 >"$work/log" 2>&1 || fail "eval -j 1: $(tail -5 "$work/log")"
for what in "policy, likeliest" "policy, sampled" "AdamW, tuned" "static control" "open loop, best" "SGD, Nesterov" \
    "random search" "interquartile mean" "random trials" "all tasks (3)" "at least that speedup"; do
    grep -q "$what" "$work/log" || fail "eval does not tell of '$what'"
done
eval_tiny --out "$work/e3" -j 3 >"$work/log" 2>&1 || fail "eval -j 3: $(tail -5 "$work/log")"
cmp <(figures "$work/e1/evaluation.json") <(figures "$work/e3/evaluation.json") || fail "eval with 1 and 3 ranks differ"
cp "$work/e3/evaluation.json" "$work/before.json"
eval_tiny --out "$work/e3" -j 3 --json >"$work/json" 2>"$work/log" || fail "eval again"
grep -q "^0 trials" "$work/log" || fail "a finished evaluation did trials again: $(cat "$work/log")"
cmp "$work/e3/evaluation.json" "$work/before.json" || fail "a second call changed the results"
[ "$(wc -l <"$work/json")" = 1 ] || fail "--json is not one line"
holds "$work/json" 'len(r["tasks"]) == 3 and all(t["complete"] for t in r["tasks"]) and r["warnings"] == []'
holds "$work/e3/evaluation.json" 'len(r["tasks"][0]["contestants"][0]["hyperparameters"]["lr"]) == 2'
holds "$work/e3/evaluation.json" 'all(len(s["lr"][0]) == t["outer_steps"] == len(s["progress"]) for t in r["tasks"] for s in [t["contestants"][0]["hyperparameters"]])'

# an optimizer against itself: 1 x; against the same with every second step skipped: 2 x
fixed() { "$cox" eval "$tiny" --contestant adamw:0.03:cosine --baseline "$1" --out "$2" -j 1 --set evaluation.tasks_per_entry=4 --seeds 3 $alone >"$work/log" 2>&1 || fail "eval --baseline $1: $(tail -5 "$work/log")"; }
fixed adamw:0.03:cosine "$work/self"
holds "$work/self/evaluation.json" 'all(abs(x - 1) < 1e-9 for c in r["groups"][0]["contestants"][:1] for k in ("mean", "median", "worst") for x in c[k]["value"])'
holds "$work/self/evaluation.json" 'all(t["contestants"][0]["won"] == 0.5 and t["contestants"][0]["difference"] == [0, 0, 0] for t in r["tasks"])'
fixed adamw:0.03:cosine:skip=2 "$work/half"
holds "$work/half/evaluation.json" 'all(abs(x - 2) < 1e-9 for t in r["tasks"] for x in t["contestants"][0]["speedup"]["value"])'
holds "$work/half/evaluation.json" 'r["groups"][0]["contestants"][0]["tasks_won"][0] == 1'

# a planted leak: test sentences that are those of validation; and the same without it
python3 - "$work" <<'P'
import os, random, sys
random.seed(1)
def write(path, n):
    with open(path, "w") as f:
        for _ in range(n):
            label = random.randrange(2)
            words = ["good" if label else "bad"] * random.randrange(3) + random.choices("abcdefghij", k=5)
            random.shuffle(words)
            f.write("%d\t%s\n" % (label, " ".join(words)))
for name in "clean", "leak":
    d = os.path.join(sys.argv[1], name)
    os.mkdir(d)
    for split, n in ("train", 400), ("dev", 70), ("test", 70):
        write(os.path.join(d, split + ".txt"), n)
os.replace(os.path.join(d, "dev.txt"), os.path.join(d, "test.txt"))
with open(os.path.join(d, "test.txt")) as f, open(os.path.join(d, "dev.txt"), "w") as g:
    g.write(f.read())
P
cat >"$work/sentences.yaml" <<'Y'
tasks: [{family: sentences, outer_steps: 4, inner_per_outer: 10, length: 8, batch_size: 16, hidden: 8, embedding: 8}]
Y
for data in clean leak; do
    "$cox" eval "$work/sentences.yaml" --contestant nesterov:0.1 --baseline adamw:0.01 --out "$work/$data-eval" -j 1 \
        --set data.sentences="$work/$data" --seeds 2 $alone >"$work/log" 2>&1 || fail "eval $data: $(tail -5 "$work/log")"
    [ $data = leak ] && { grep -q "WARNING.*seem to be the same data" "$work/log" || fail "the leak was not seen"; }
    [ $data = clean ] && { grep -q "WARNING" "$work/log" && fail "a warning without a leak"; }
done
holds "$work/leak-eval/evaluation.json" 'len(r["warnings"]) == 1 and r["tasks"][0]["same_splits"] and abs(r["tasks"][0]["contestants"][0]["gap"][0]) < 1e-9'
holds "$work/clean-eval/evaluation.json" 'r["warnings"] == [] and abs(r["tasks"][0]["contestants"][0]["gap"][0]) > 1e-4'

# another folder with the same cache: nothing is done again
eval_tiny --set evaluation.cache="$work/e1" --out "$work/other" -j 1 >"$work/log" 2>&1 || fail "eval with a cache"
grep -q "^0 trials" "$work/log" || fail "the shared cache was not used: $(tail -1 "$work/log")"
cmp <(figures "$work/e1/evaluation.json") <(figures "$work/other/evaluation.json") || fail "from the cache the results differ"
finish
