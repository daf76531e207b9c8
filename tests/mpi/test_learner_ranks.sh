#!/bin/bash
# Learner ranks: the same weights bit for bit with any number of them, also where one dies or
# stops amid the run, which costs no restart.
# shellcheck disable=SC2154 # variables of lib.sh
. "$(dirname "$0")/lib.sh"
# several shards to a gradient step
set_keys=(--set updates=24 --set ppo.episodes_per_update=48 --set ppo.buffer_episodes=48
    --set ppo.minibatch_episodes=48 --set ppo.minibatches=2 --set workers.late_seconds=0.5)
train() { # OUT RANKS LEARNERS [OPTION]...
    local out=$1 ranks=$2 learners=$3
    shift 3
    "$cox" train "$tiny" --out "$work/$out" -j "$ranks" "${set_keys[@]}" --set "workers.learner_ranks=$learners" "$@" \
        >"$work/$out.log" 2>&1
}
same() { [ "$(weights "$work/zero")" = "$(weights "$work/$1")" ] || fail "$1: other weights than without learner ranks"; }

train zero 2 0 || fail "no learner ranks: $(tail -5 "$work/zero.log")"
train one 3 1 || fail "one learner rank: $(tail -5 "$work/one.log")"
train two 4 2 || fail "two learner ranks: $(tail -5 "$work/two.log")"
same one
same two
train seed 3 1 --set seed=6 || fail "seed 6"
[ "$(weights "$work/zero")" = "$(weights "$work/seed")" ] && fail "the seed makes no difference"
# they did compute, and rank 0 says so; they run no episodes
python3 - "$work/two" <<'P' || fail "two: not as the lines should be"
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1] + "/metrics.jsonl")]
assert len(lines) == 24 and lines[-1]["learner_ranks"] == 2 and lines[-1]["workers"] == 1
assert any(l["learner_ranks_busy"] > 0 for l in lines)
assert {json.loads(l)["rank"] for l in open(sys.argv[1] + "/episodes.jsonl")} == {1}
P
"$cox" status "$work/two" --json | grep -q '"learner_ranks": *2' || fail "status does not tell of learner ranks"

# as many learner ranks as workers: nobody would run episodes
expect 2 "workers.learner_ranks is 2" "$cox" train "$tiny" --out "$work/none" -j 3 --set workers.learner_ranks=2
[ -e "$work/none" ] && fail "a folder was made for a run that cannot be"

# harm NAME SIGNAL: to the learner rank of a run with one, amid it; then to one of two
harm() {
    local name=$1 signal=$2 ranks=$3 learners=$4 pid try
    for try in 1 2 3 4 5; do
        rm -rf "${work:?}/$name"
        train "$name" "$ranks" "$learners" --set updates=60 &
        for _ in $(seq 600); do
            [ "$(lines "$work/$name/metrics.jsonl")" -ge 3 ] && break
            sleep 0.02
        done
        pid=$(rank_pid "$work/$name" $((ranks - 1)))
        kill -s "$signal" $pid 2>/dev/null
        [ "$signal" = STOP ] && { sleep 2; kill -s CONT $pid 2>/dev/null; }
        wait $!
        # a fault after the end is none
        grep -q "learner rank $((ranks - 1)) .*\(died\|late\)" "$work/$name.log" && break
        [ $try = 5 ] && fail "$name: nobody noticed: $(tail -3 "$work/$name.log")"
    done
    grep -q "a rank died" "$work/$name.log" && fail "$name: a restart: $(tail -5 "$work/$name.log")"
    [ "$(wc -l <"$work/$name/metrics.jsonl")" = 60 ] || fail "$name: $(tail -5 "$work/$name.log")"
    [ "$(weights "$work/long")" = "$(weights "$work/$name")" ] || fail "$name: other weights than without a fault"
}
train long 2 0 --set updates=60 || fail "60 updates: $(tail -5 "$work/long.log")"
harm killed KILL 3 1
harm killed_one_of_two KILL 4 2
harm stopped STOP 3 1
finish
