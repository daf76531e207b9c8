#!/bin/bash
# Sixteen ranks in simulated time: the coordinator and its messages as they are, inner runs and learner modeled
# (docs/scaling.md). Needs SimGrid.
. "$(dirname "$0")/lib.sh"
command -v smpicc >/dev/null && command -v smpirun >/dev/null || { echo "skip: no SimGrid (Debian: libsimgrid-dev)"; exit 77; }
make -s -C "$root" build/scale/sim >"$work/make" 2>&1 || { fail "make: $(tail -5 "$work/make")"; finish; }
simulate() {
    "$root/bench/scale/simulate" 16 "$root/configs/lhopt.yaml" "$root/bench/scale/lhopt.times" updates=40 \
        ppo.episodes_per_update=32 ppo.buffer_episodes=128 ppo.minibatch_episodes=32 episode.max_gflop=200 "$@"
}
simulate >"$work/a" 2>&1 || fail "simulate: $(cat "$work/a")"
simulate >"$work/b" 2>&1
cmp -s "$work/a" "$work/b" || fail "another result the second time: $(cat "$work/a" "$work/b")"
python3 - "$work/a" <<'P' || fail "$(cat "$work/a")"
import json, sys
r = json.load(open(sys.argv[1]))
assert r["workers"] == 15 and r["episodes"] == 40 * 32, "another number of jobs"
assert 320 * 7 <= r["sweep_runs"] <= 320 * 7.5, "a sweep is a run for each of seven learning rates, seldom more"
assert r["max_staleness"] <= 3
assert 0.95 < r["total_busy"] <= 1.0001, "workers idle"  # beginning and end of a short run included: 0.99
assert 0 < r["learner"] < 0.5 and 0 < r["messages"] < 0.05
P
# a learner that is a hundred times slower holds all up: the model is not blind
sed 's/^\(learner_[a-z]*_us\) .*/\1 5000/' "$root/bench/scale/lhopt.costs" >"$work/costs"
COSTS="$work/costs" simulate >"$work/c" 2>&1 || fail "simulate: $(cat "$work/c")"
python3 - "$work/c" <<'P' || fail "a slow learner: $(cat "$work/c")"
import json, sys
r = json.load(open(sys.argv[1]))
assert r["total_busy"] < 0.5 and r["learner"] > 0.5
P
# with learner ranks as slow rank 0 answers at once, and they share the work
"$root/bench/scale/simulate" 18 "$root/configs/lhopt.yaml" "$root/bench/scale/lhopt.times" updates=40 \
    ppo.episodes_per_update=32 ppo.buffer_episodes=128 ppo.minibatch_episodes=32 episode.max_gflop=200 \
    workers.learner_ranks=2 >"$work/d" 2>&1 || fail "simulate: $(cat "$work/d")"
COSTS="$work/costs" "$root/bench/scale/simulate" 18 "$root/configs/lhopt.yaml" "$root/bench/scale/lhopt.times" updates=40 \
    ppo.episodes_per_update=32 ppo.buffer_episodes=128 ppo.minibatch_episodes=32 episode.max_gflop=200 \
    workers.learner_ranks=2 >"$work/e" 2>&1 || fail "simulate: $(cat "$work/e")"
python3 - "$work/a" "$work/c" "$work/d" "$work/e" <<'P' || fail "learner ranks: $(cat "$work/a" "$work/c" "$work/d" "$work/e")"
import json, sys
a, c, d, e = (json.load(open(f)) for f in sys.argv[1:])
assert d["workers"] == 15 and d["episodes"] == a["episodes"]
assert 0.8 < 2 * d["learner"] / a["learner"] < 1.2, "not the same work"
assert c["delay_99_ms"] > 1000 and e["delay_99_ms"] < 10, "queue delay"
assert e["seconds"] < 0.7 * c["seconds"], "no faster"
P
finish
