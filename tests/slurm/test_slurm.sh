#!/bin/bash
# The shipped batch scripts under a real Slurm (its controller and three node daemons on this
# machine): a job trains over two nodes, is stopped by its time limit and by a signal,
# requeues itself each time, resumes, and ends with the weights of a run that was never
# interrupted; a faulty configuration is refused and not requeued; srun instead of mpirun.
# shellcheck disable=SC2154 # variables of lib.sh
. "$(dirname "$0")/cluster.sh"
cluster_or_skip "$@"
. "$(dirname "$0")/../mpi/lib.sh"
trap 'cluster_down; rm -rf "$work"' EXIT
trap 'exit 1' TERM INT
for f in "$root"/slurm/*; do bash -n "$f" || fail "$f"; done
if command -v shellcheck >/dev/null; then
    shellcheck -x "$root"/slurm/* || fail "shellcheck"
fi
cluster_up "$work/slurm" 3 4
cd "$work" || exit 1
export COXSWAIN_HOME="$root" COXSWAIN_MARGIN=48
two_nodes="--parsable --nodes=2 --ntasks-per-node=2 --mem-per-cpu=200M --time=1 --signal=B:USR1@10"
lines() { wc -l <"$1/metrics.jsonl"; }
newest() { # number of the newest checkpoint
    local all=("$1"/checkpoints/*[0-9])
    echo $((10#$(basename "${all[-1]}")))
}
log() { tail -n 40 "$work"/*.log; }

# Leg 1 would go on for hours, but its time is over after some ten seconds. How many updates
# there are is decided later: without annealing, no update depends on that.
sed 's/^updates:.*/updates: 100000/' "$tiny" >c.yaml
# shellcheck disable=SC2086
id=$(sbatch $two_nodes -o train.log "$root/slurm/train.sbatch" c.yaml "$work/run" --set ppo.anneal_to=1)
job_until "$id" job_held || fail "not requeued at the end of its time: $(log)"
first=$(newest run)
[ "$first" -gt 5 ] || fail "only $first updates before the time limit: $(log)"
[ "$(job "$id" JobState)" = PENDING ] || fail "after the time limit: $(job "$id" JobState)"
# leg 2 is stopped by a signal that reaches the ranks of the second node only
more() { [ "$(lines run)" -gt $((first + 10)) ]; }
job_until "$id" more || fail "leg 2 makes no updates: $(log)"
scancel --signal=USR1 "$id"
job_until "$id" job_held || fail "not requeued after scancel --signal: $(log)"
second=$(newest run)
[ "$second" -gt "$first" ] || fail "no progress in leg 2: $first, $second"
# leg 3 ends
updates=$((second + 15))
sed "s/^updates:.*/updates: $updates/" "$tiny" >c.yaml
job_until "$id" job_over || fail "leg 3 does not end: $(log)"
[ "$(job "$id" JobState) $(job "$id" ExitCode) $(job "$id" Restarts)" = "COMPLETED 0:0 2" ] ||
    fail "ended as $(job "$id" JobState) $(job "$id" ExitCode), $(job "$id" Restarts) restarts: $(log)"
[ "$(grep -c "mpirun starts 4 ranks .* on n\[1-2\]" train.log)" = 3 ] || fail "not three starts over two nodes: $(log)"
"$cox" train "$tiny" --out whole -j 1 --set updates=$updates --set ppo.anneal_to=1 >whole.log 2>&1 || fail "reference: $(log)"
cmp whole/policy.safetensors run/policy.safetensors || fail "the weights differ from an uninterrupted run's"
[ "$(lines run)" = $updates ] || fail "$(lines run) lines of metrics, not $updates"

# srun as the launcher
# shellcheck disable=SC2086
id=$(COXSWAIN_LAUNCHER=srun sbatch $two_nodes -o srun.log "$root/slurm/train.sbatch" "$tiny" "$work/s" --set updates=8)
# a faulty configuration: refused in the job, not requeued; and where it is submitted
sed 's/updates: 60/updates: -6/' "$tiny" >bad.yaml
# shellcheck disable=SC2086
bad=$(sbatch $two_nodes -o bad.log "$root/slurm/train.sbatch" bad.yaml "$work/bad")
expect 2 "updates" bash "$root/slurm/train.sbatch" bad.yaml "$work/bad"
mkdir bin
printf '#!/bin/sh\necho "submitted $*"\n' >bin/sbatch
chmod +x bin/sbatch
expect 0 "submitted .*train.sbatch c.yaml DIR --set x=1" env PATH="$work/bin:$PATH" \
    bash "$root/slurm/train.sbatch" c.yaml DIR --set x=1
expect 2 "usage: sbatch" bash "$root/slurm/train.sbatch" c.yaml
job_until "$id" job_over || fail "srun: $(log)"
[ "$(job "$id" JobState)" = COMPLETED ] || fail "srun: $(job "$id" JobState): $(log)"
grep -q "srun --mpi=pmix starts 4 ranks" srun.log || fail "srun did not start the ranks: $(log)"
"$cox" train "$tiny" --out s1 -j 1 --set updates=8 >s1.log 2>&1 || fail "reference: $(log)"
cmp s1/policy.safetensors s/policy.safetensors || fail "under srun the weights differ"
job_until "$bad" job_over
[ "$(job "$bad" JobState) $(job "$bad" ExitCode) $(job "$bad" Restarts)" = "FAILED 2:0 0" ] ||
    fail "a faulty configuration ended as $(job "$bad" JobState) $(job "$bad" ExitCode): $(log)"
[ -e bad ] && fail "a refused job left a folder behind"
finish
