#!/bin/bash
# `coxswain bench`: every line has what the interface promises, the numbers agree with
# each other and with what can be counted by hand, and what is not there is refused.
. "$(dirname "$0")/lib.sh"

"$cox" bench --json --steps 8 >"$work/out" 2>"$work/err" || fail "bench: exit $?: $(cat "$work/err")"
# value of KEY in the line of TASK and OPTIMIZER
value() {
    grep "\"task\":\"$1\",\"optimizer\":\"$2\"" "$work/out" | grep -o "\"$3\":[-+0-9.eE]*" | cut -d: -f2
}
for t in mlp cnn lstm gru transformer nqm ncf resnet ctc; do # a line for each optimizer
    lines=$(grep -c "\"task\":\"$t\"" "$work/out")
    [ "$lines" = 2 ] || fail "$t: $lines lines, not 2: $(cat "$work/out" "$work/err")"
done
for o in adam ciao; do
    for t in mlp cnn lstm gru transformer nqm ncf ctc; do
        for key in threads ms_per_step params flops_per_step gflops forward backward update features data; do
            [ -n "$(value $t $o $key)" ] || fail "$t $o: no $key"
        done
        awk -v ms="$(value $t $o ms_per_step)" -v flops="$(value $t $o flops_per_step)" \
            -v g="$(value $t $o gflops)" -v a="$(value $t $o forward)" -v b="$(value $t $o backward)" \
            -v c="$(value $t $o update)" -v d="$(value $t $o features)" \
            -v e="$(value $t $o data)" 'BEGIN {
            s = a + b + c + d + e
            ok = ms > 0 && s > 0.999999 && s < 1.000001 && a > 0 && c > 0 && d >= 0 && e > 0
            ok = ok && g * ms * 1e6 > 0.999999 * flops && g * ms * 1e6 < 1.000001 * flops
            exit !ok
        }' || fail "$t $o: the numbers do not agree: $(grep "\"$t\",\"optimizer\":\"$o\"" "$work/out")"
        [ "$(value $t $o threads)" = 1 ] || fail "$t $o: not on one thread"
    done
    # 784-128-128-10; 16 and 32 channels of 3x3, and 1568 to 10; three passes, the first
    # layer without the gradient of its input
    [ "$(value mlp $o params)" = $((784 * 128 + 128 + 128 * 128 + 128 + 1280 + 10)) ] || fail "mlp's parameters"
    [ "$(value cnn $o params)" = $((9 * 16 + 16 + 9 * 16 * 32 + 32 + 15680 + 10)) ] || fail "cnn's parameters"
    [ "$(value ncf $o params)" = $(((6040 + 3706) * 40 + 65 * 32 + 33 * 16 + 17 * 8 + 17)) ] || fail "ncf's parameters"
    [ "$(value lstm $o params)" = $((2000 * 64 + 4 * 64 * 130 + 130)) ] || fail "lstm's parameters"
    [ "$(value gru $o params)" = $((3 * 64 * 68 + 130)) ] || fail "gru's parameters"
    [ "$(value ctc $o params)" = $((3 * 96 * (40 + 98 + 96 + 98) + 97 * 30)) ] || fail "ctc's parameters"
    [ "$(value nqm $o params)" = 1000 ] || fail "nqm's parameters"
    block=$((12 * 128 * 128 + 13 * 128)) # of a width of 128 with four times as many hidden units
    [ "$(value transformer $o params)" = $((2 * 256 * 128 + 64 * 128 + 2 * block + 256)) ] || fail "transformer's parameters"
    first=$((2 * 128 * 784 * 128)) rest=$((2 * 128 * (128 * 128 + 1280)))
    [ "$(value mlp $o flops_per_step)" = $((2 * first + 3 * rest)) ] || fail "mlp's operations"
    first=$((2 * 128 * 784 * 16 * 9)) rest=$((2 * 128 * (196 * 32 * 16 * 9 + 15680)))
    [ "$(value cnn $o flops_per_step)" = $((2 * first + 3 * rest)) ] || fail "cnn's operations"
    [ "$(value ncf $o flops_per_step)" = $((3 * 2 * 256 * (64 * 32 + 32 * 16 + 16 * 8 + 16))) ] || fail "ncf's operations"
    steps=$((2 * 64 * 32 * 4 * 64)) last=$((2 * 64 * 64 * 2))
    [ "$(value lstm $o flops_per_step)" = $((3 * (steps * 128 + last))) ] || fail "lstm's operations"
    steps=$((2 * 128 * 32 * 3 * 64)) each=$((2 * 128 * 32 * 64 * 2))
    [ "$(value gru $o flops_per_step)" = $((2 * steps * 2 + 3 * (steps * 64 + each))) ] || fail "gru's operations"
    steps=$((2 * 100 * 16 * 3 * 96)) each=$((2 * 100 * 16 * 96 * 30))
    [ "$(value ctc $o flops_per_step)" = $((steps * (2 * 40 + 3 * 3 * 96) + 3 * each)) ] || fail "ctc's operations"
    [ "$(value nqm $o flops_per_step)" = 6000 ] || fail "nqm's operations"
    each=$((2 * (12 * 128 * 128 + 2 * 64 * 128) + 128 * 256)) # products of a token
    [ "$(value transformer $o flops_per_step)" = $((6 * 16 * 64 * each)) ] || fail "transformer's operations"
done
for t in mlp cnn lstm gru transformer nqm ncf ctc; do # only the learned optimizer takes features
    [ "$(value $t adam features)" = 0 ] || fail "$t: adam spends time on features"
done

"$cox" bench nqm --optimizer ciao --steps 400 --json >"$work/out" 2>"$work/err" || fail "one task"
[ "$(wc -l <"$work/out")" = 1 ] && [ ! -s "$work/err" ] || fail "one task: $(cat "$work/out" "$work/err")"
awk -v f="$(value nqm ciao features)" 'BEGIN {exit !(f > 0)}' || fail "features cost nothing: $(cat "$work/out")"

for part in update policy learner; do
    "$cox" bench $part --steps 1 --json >"$work/out" 2>"$work/err" || fail "$part: $(cat "$work/err")"
    [ -s "$work/out" ] && ! grep -q "null" "$work/out" || fail "$part: $(cat "$work/out")"
done

# the learner: the shares are of the whole; of its second table (shards): more is computed than rank 0 does
grep '"compute"' "$work/out" >"$work/shards"
sed -i '/"compute"/d' "$work/out"
awk -F'[:,]' '{for (i = 1; i < NF; i++) {gsub(/["{}]/, "", $i); v[$i] = $(i + 1)}
    if (!(v["give"] > 0 && v["take"] > 0 && v["give"] + v["take"] < v["compute"] && v["ranks_at_most"] >= 1)) bad = 1}
    END {exit bad || NR != 3}' "$work/shards" || fail "shards: $(cat "$work/shards")"
awk -F'[:,]' '{for (i = 1; i < NF; i++) {gsub(/["{}]/, "", $i); v[$i] = $(i + 1)}
    s = v["values"] + v["policy"] + v["value"]; if (!(s > 0.5 && s < 1.001)) bad = 1; n += v["outer_steps"] == 64}
    END {exit bad || n != 1}' "$work/out" || fail "learner: $(cat "$work/out")"

# episodes: a line for each entry that was drawn and one for all, whose shares are of the whole
"$cox" bench episodes --config "$tiny" --steps 6 --json >"$work/out" 2>"$work/err" || fail "episodes: $(cat "$work/err")"
python3 - "$work/out" <<'P' || fail "episodes: $(cat "$work/out")"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
every = lines.pop()
assert every["tasks"] == "all" and every["episodes"] == sum(x["episodes"] for x in lines) == 6
shares = [every[k] for k in ("inner", "batches", "evaluation", "policy", "rest")]
assert all(0 <= s <= 1 for s in shares) and 0.9 < sum(shares) < 1.1 and shares[0] > 0, shares
assert abs(every["episodes_per_core_hour"] * every["cpu_s"] / 3600 - 6) < 1e-6
P
expect 2 "nowhere.yaml" "$cox" bench episodes --config "$work/nowhere.yaml"

expect 2 "did you mean mlp" "$cox" bench mlpp
expect 2 "adam or ciao" "$cox" bench mlp --optimizer sgd
expect 2 "steps" "$cox" bench mlp --steps 0
expect 2 "did you mean" "$cox" bench --jsn
expect 0 "usage: coxswain bench" "$cox" bench -h
finish
