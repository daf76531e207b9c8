#!/bin/bash
# One program, several levels of the instruction set: each trains, ranks agree on one, and
# what cannot run is refused.
. "$(dirname "$0")/lib.sh"
line=$("$cox" version | sed -n 's/^kernels *//p')
levels=$(sed 's/;.*//; s/, /\n/g' <<<"$line" | grep -v "not on this machine")
best=$(tail -1 <<<"$levels")
least=$(head -1 <<<"$levels")
[ "${line##*; }" = "$best runs" ] || fail "version: the best of '$line' does not run"

train() { # NAME, then the configuration's further words
    local name=$1
    shift
    "$cox" train "$tiny" --out "$work/$name" --set updates=3 "$@" >"$work/log" 2>&1 || fail "$name: $(tail -5 "$work/log")"
}
for level in $levels; do
    [ "$(CX_KERNELS=$level "$cox" version | sed -n 's/^kernels.*; //p')" = "$level runs" ] || fail "CX_KERNELS=$level"
    CX_KERNELS=$level train "$level" -j 1
    [ "$(grep -c "\"kernels\":\"$level\"" "$work/$level/metrics.jsonl")" = 3 ] || fail "metrics do not name $level"
done
train auto -j 1
cmp "$work/auto/policy.safetensors" "$work/$best/policy.safetensors" || fail "auto is not $best"
expect 2 "auto or a level" env CX_KERNELS=x86-64 "$cox" version
expect 2 "not in this program" env CX_KERNELS=plain "$cox" version
expect 2 "unknown word" "$cox" train "$tiny" --out "$work/x" --set workers.kernels=fast -j 1
expect 2 "each.*is for mode asynchronous" "$cox" train "$tiny" --out "$work/x" --set workers.kernels=each -j 1

if [ "$best" = "$least" ]; then
    echo "skip: only one level runs here"
    finish
fi
# the choice makes a difference, in the configuration as in the environment
cmp -s "$work/$best/policy.safetensors" "$work/$least/policy.safetensors" && fail "$best and $least compute the same bits"
train key -j 2 --set "workers.kernels=$least"
[ "$(weights "$work/key")" = "$(weights "$work/$least")" ] || fail "workers.kernels=$least is another policy"
[ "$(weights "$work/key")" = "$(weights "$work/$best")" ] && fail "the weights are not where this test looks"
# ranks of different machines: the least of them, the same bits as without the others
mpirun --oversubscribe --bind-to none -n 2 "$cox" train "$tiny" --out "$work/mixed" --set updates=3 \
    : -n 1 env CX_KERNELS="$least" "$cox" train "$tiny" --out "$work/mixed" --set updates=3 >"$work/log" 2>&1 ||
    fail "mixed: $(tail -5 "$work/log")"
grep -q "^kernels: $least on all ranks, as rank 2 on .* has no better" "$work/log" || fail "mixed: nobody is told: $(cat "$work/log")"
cmp "$work/mixed/policy.safetensors" "$work/$least/policy.safetensors" || fail "mixed ranks compute other bits"
mpirun --oversubscribe --bind-to none -n 2 "$cox" train "$tiny" --out "$work/each" --set mode=asynchronous --set workers.kernels=each --set updates=3 \
    : -n 1 env CX_KERNELS="$least" "$cox" train "$tiny" --out "$work/each" --set mode=asynchronous --set workers.kernels=each --set updates=3 >"$work/log" 2>&1 ||
    fail "each: $(tail -5 "$work/log")"
grep -q "^kernels: each rank's best, $least to $best" "$work/log" || fail "each: nobody is told: $(cat "$work/log")"
# a resume elsewhere says so; one on the same machine does not
CX_KERNELS=$least train key -j 1 --resume --set updates=4
grep -q "kernels:" "$work/log" && fail "a resume at the same level: $(cat "$work/log")"
train key -j 1 --resume --set updates=5 --set workers.kernels="$best"
grep -q "kernels: $best from here on, the run so far had $least" "$work/log" || fail "a resume at another level: $(cat "$work/log")"
finish
