#!/bin/bash
# Synchronous mode: the same weights bit for bit, whatever the number of ranks.
. "$(dirname "$0")/lib.sh"
for j in 1 2 4; do
    "$cox" train "$tiny" --out "$work/j$j" -j $j >"$work/log" 2>&1 || fail "-j $j: $(tail -5 "$work/log")"
done
for j in 2 4; do
    cmp "$work/j1/policy.safetensors" "$work/j$j/policy.safetensors" || fail "-j 1 and -j $j differ"
done
# nor does it matter whether a sweep is one job or as many as it has learning rates
"$cox" train "$tiny" --out "$work/split" -j 4 --set workers.split_gflop=0 >"$work/log" 2>&1 ||
    fail "split sweeps: $(tail -5 "$work/log")"
[ "$(weights "$work/j1")" = "$(weights "$work/split")" ] || fail "whole and split sweeps differ"
# and the test can fail: another seed is another policy
"$cox" train "$tiny" --out "$work/seed" -j 1 --set seed=6 >/dev/null 2>&1 || fail "seed 6"
cmp -s "$work/j1/policy.safetensors" "$work/seed/policy.safetensors" && fail "the seed makes no difference"
# every episode stands once in episodes.jsonl, in every run
for j in 1 2 4; do
    n=$(grep -o '"episode":[0-9]*' "$work/j$j/episodes.jsonl" | sort -u | wc -l)
    m=$(wc -l <"$work/j$j/episodes.jsonl")
    [ "$n" = 960 ] && [ "$m" = 960 ] || fail "-j $j: $m lines, $n episodes, not 960"
    [ "$(wc -l <"$work/j$j/metrics.jsonl")" = 60 ] || fail "-j $j: not 60 lines of metrics"
done
finish
