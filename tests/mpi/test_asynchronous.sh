#!/bin/bash
# Asynchronous mode (with learning rates at which weight decay alone diverges): all episodes are used, staleness keeps its bound, diverged runs are
# counted and earn the floor, and no number that is not finite gets anywhere.
. "$(dirname "$0")/lib.sh"
"$cox" train "$tiny" --out "$work/a" -j 4 --set mode=asynchronous --set updates=12 --set ppo.max_staleness=2 \
    --set optimizer.weight_decay=1 \
    --set 'actions.lr={factors: [0.1, 1, 100], low: 1e-8, high: 1e4, noise: [1, 100]}' >"$work/log" 2>&1 ||
    fail "train: $(tail -5 "$work/log")"
[ "$(wc -l <"$work/a/episodes.jsonl")" -ge 192 ] || fail "fewer episodes than were to be used"
python3 - "$work/a" <<'P' || fail "what stands in the run's files"
import json, sys
d = sys.argv[1]
e = [json.loads(l) for l in open(d + "/episodes.jsonl")]
m = [json.loads(l) for l in open(d + "/metrics.jsonl")]
bad = [x for x in e if x["end"] == "diverged"]
assert bad, "no run diverged: the test does not test"
assert all(x["reward"] == -3 for x in bad)
assert all(x["reward"] is not None and -3 <= x["reward"] <= 2.08 for x in e)
assert len(set(x["episode"] for x in e)) == len(e)
for x in e:  # update u consumes the episodes of its number: how old was the policy?
    u = x["episode"] // 16
    assert 0 <= u - x["version"] <= 1, x
assert any(x["episode"] // 16 != x["version"] for x in e), "never ahead: not asynchronous"
for x in m:  # all of the workers' time is accounted for, where one has reported since the last line
    shares = [x["workers_busy"], x["workers_policy"], x["workers_waiting"]]
    assert all(s >= 0 for s in shares) and (abs(sum(shares) - 1) < 1e-6 or sum(shares) == 0), x
assert sum(x["workers_policy"] for x in m) > 0, "the policy takes no time?"
assert len(m) == 12 and m[-1]["max_staleness"] <= 1, m[-1]
for x in m:
    for k, v in x.items():
        assert v is not None or k == "explained_variance", (k, x)
P
# the paper's preset, its reward, and registers
"$cox" train "$tiny" --out "$work/p" -j 3 --set mode=asynchronous --set updates=4 --set preset=paper \
    --set reward.form=power_fit --set actions.registers=2 --set ppo.minibatches=2 --set ppo.max_uses=4 \
    --set ppo.buffer_episodes=48 >"$work/log" 2>&1 || fail "paper: $(tail -5 "$work/log")"
[ "$(wc -l <"$work/p/metrics.jsonl")" = 4 ] || fail "paper: not 4 updates"
grep -q '"registers":' "$work/p/metrics.jsonl" || fail "no entropy of the register head"
# status tells the same from the files
expect 0 "update 12/12" "$cox" status "$work/a"
expect 0 '"finished":true' "$cox" status "$work/a" --json
finish
