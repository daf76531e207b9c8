#!/bin/bash
# The batch scripts under a real Slurm, part two: dead ranks, dead nodes, preemption,
# cancellation, a run that makes no progress, arrays, evaluations. After each interruption
# the weights at the end are those of a run that was never interrupted.
# shellcheck disable=SC2154,SC2317 # variables of lib.sh; functions for job_until
. "$(dirname "$0")/cluster.sh"
cluster_or_skip "$@"
. "$(dirname "$0")/../mpi/lib.sh"
trap 'cluster_down; rm -rf "$work"' EXIT
trap 'exit 1' TERM INT
cluster_up "$work/slurm" 3 4
cd "$work" || exit 1
export COXSWAIN_HOME="$root" COXSWAIN_MARGIN=5
lines() { wc -l 2>/dev/null <"$1/metrics.jsonl" || echo 0; }
log() { tail -n 40 "$work/$1.log"; }
state() { echo "$(job "$1" JobState) $(job "$1" ExitCode)"; }
nodes_of() { scontrol show hostnames "$(squeue -h -j "$1" -o %N)"; }

# begin NAME [sbatch's options]: a run that would not end, up to its 20th update; its id in `id`
begin() {
    name=$1
    shift
    sed 's/^updates:.*/updates: 100000/' "$tiny" >"$name.yaml"
    id=$(sbatch --parsable --nodes=2 --ntasks-per-node=2 --mem-per-cpu=200M --time=5 --signal=B:USR1@5 \
        -o "$name.log" "$@" "$root/slurm/train.sbatch" "$name.yaml" "$work/$name" --set ppo.anneal_to=1 --set workers.late_seconds=3)
    local wanted=20
    more() { [ "$(lines "$name")" -ge "$wanted" ]; }
    job_until "$id" more || fail "$name: $(log "$name")"
}
# end: lets it end 15 updates later, and compares. The configuration is read when ranks are
# started: a run that goes on is stopped first, by a file.
end() {
    local updates wanted
    if ! job_held "$id"; then
        wanted=$(($(lines "$name") + 5))
        more() { [ "$(lines "$name")" -ge "$wanted" ]; }
        job_until "$id" more || fail "$name: does not go on: $(log "$name")"
        touch "$name/stop"
        job_until "$id" job_held || fail "$name: not requeued after DIR/stop: $(log "$name")"
    fi
    updates=$(($(lines "$name") + 15))
    sed "s/^updates:.*/updates: $updates/" "$tiny" >"$name.yaml"
    job_until "$id" job_over || fail "$name: does not end: $(log "$name")"
    [ "$(state "$id")" = "COMPLETED 0:0" ] || fail "$name: $(state "$id"): $(log "$name")"
    "$cox" train "$tiny" --out "$name.whole" -j 1 --set updates=$updates --set ppo.anneal_to=1 --set workers.late_seconds=3 >"$name.ref" 2>&1 ||
        fail "$name: reference: $(tail -5 "$name.ref")"
    cmp "$name.whole/policy.safetensors" "$name/policy.safetensors" || fail "$name: the weights differ"
    echo "$name: $updates updates, $(job "$id" Restarts) requeues, $SECONDS s"
}

for launcher in mpirun srun; do
    export COXSWAIN_LAUNCHER=$launcher
    # a worker of the second node dies: under mpirun the others go on without it, under srun
    # all start again within the job
    begin "rank-$launcher"
    pkill -KILL -n -f "coxswain train .*--out $work/$name " || fail "$name: no rank to kill"
    sign="a rank died; going on"
    [ $launcher = srun ] || sign="worker .* is late"
    died() { grep -q "$sign" "$name.log"; }
    job_until "$id" died || fail "$name: $(log "$name")"
    [ "$(job "$id" Restarts)" = 0 ] || fail "$name: requeued because of one rank: $(log "$name")"
    end

    # a node dies: the second one, then the one of the batch script and rank 0
    for which in 2 1; do
        begin "node$which-$launcher"
        dead=$(nodes_of "$id" | sed -n ${which}p)
        kill_node "$work/slurm" "$dead"
        moved() { [ "$(job "$1" Restarts)" = 1 ] && [ "$(squeue -h -j "$1" -o %T)" = RUNNING ]; }
        job_until "$id" moved || fail "$name: $(state "$id"): $(log "$name")"
        nodes_of "$id" | grep -q "^$dead$" && fail "$name: runs on the dead node"
        end
        start_node "$work/slurm" "$dead"
        job_until 0 all_idle || fail "$dead does not come back"
    done
done
export COXSWAIN_LAUNCHER=mpirun

# both workers of the second node die, and again after the restart: it is left out
begin twice
second=$(nodes_of "$id" | sed -n 2p)
for time in 1 2; do
    restarted() { [ "$(grep -c "a rank died; going on" twice.log)" = "$time" ]; }
    # shellcheck disable=SC2046 # a process a word
    kill -KILL $(rank_pid "$work/twice" 2) $(rank_pid "$work/twice" 3) || fail "twice: no ranks to kill"
    job_until "$id" restarted || fail "twice: $(log twice)"
    more() { [ "$(lines twice)" -ge $((wanted + 5)) ]; }
    wanted=$(lines twice)
    job_until "$id" more || fail "twice: does not go on: $(log twice)"
done
grep -q "node $second is left out" twice.log || fail "twice: $(log twice)"
[ -z "$(rank_pid "$work/twice" 2)" ] || fail "twice: still with ranks on $second"
end

# preemption: at once, and with a time of grace in which the ranks alone are told
for grace in 0 20; do
    scontrol update PartitionName=low GraceTime=$grace
    begin "preempted-$grace"
    high=$(sbatch --parsable -p high --nodes=3 --ntasks-per-node=4 --time=1 -o /dev/null --wrap "sleep 3")
    job_until "$high" job_over
    end
done
scontrol update PartitionName=low GraceTime=0

# the warning of --signal alone, where the job's time is not known to the program
COXSWAIN_MARGIN=-100000 begin warned --time=1 --signal=B:USR1@35
job_until "$id" job_held || fail "warned: $(log warned)"
end

# cancelled: not requeued; and what stands can be gone on with
begin cancelled
scancel "$id"
job_until "$id" job_over
[ "$(job "$id" JobState) $(job "$id" Restarts)" = "CANCELLED 0" ] || fail "cancelled: $(state "$id")"
grep -q "COMPLETING: not requeued" cancelled.log || fail "cancelled: $(log cancelled)"
expect 0 "[0-9]* updates" "$cox" train "$tiny" --out "$work/cancelled" --resume -j 2 \
    --set updates=$(($(lines cancelled) + 2)) --set ppo.anneal_to=1
# stopped in good order and for good
begin stopped
scontrol update JobId="$id" Requeue=0
touch stopped/stop
job_until "$id" job_over
[ "$(state "$id") $(job "$id" Restarts)" = "FAILED 75:0 0" ] || fail "stopped: $(state "$id"): $(log stopped)"
grep -q "that was refused" stopped.log || fail "stopped: $(log stopped)"

# no progress: ends instead of looping
id=$(COXSWAIN_MARGIN=60 COXSWAIN_REQUEUES=2 sbatch --parsable --nodes=1 --ntasks-per-node=2 --mem-per-cpu=200M \
    --time=1 --signal=B:USR1@5 -o idle.log "$root/slurm/train.sbatch" "$tiny" "$work/idle")
job_until "$id" job_over || fail "idle: $(log idle)"
[ "$(state "$id") $(job "$id" Restarts)" = "FAILED 1:0 2" ] || fail "idle: $(state "$id") $(job "$id" Restarts): $(log idle)"
grep -q "2 requeues in a row without progress" idle.log || fail "idle: $(log idle)"

# an array over two seeds; one task alone is stopped and goes on
id=$(sbatch --parsable --array=0-1 --nodes=1 --ntasks-per-node=3 --mem-per-cpu=200M --time=5 --signal=B:USR1@5 \
    -o "sweep-%a.log" "$root/slurm/sweep.sbatch" "$work/sweep" "$tiny" -- --set updates=400)
first() { [ "$(lines sweep/tiny-seed1)" -ge 10 ]; }
job_until "$id" first || fail "sweep: $(log sweep-0)"
scancel -b -s USR1 "${id}_0"
job_until "${id}_0" job_held || fail "sweep: task 0 is not requeued: $(log sweep-0)"
job_until "${id}_0" job_over || fail "sweep: $(log sweep-0)"
job_until "${id}_1" job_over || fail "sweep: $(log sweep-1)"
[ "$(grep -c "start 2" sweep-0.log) $(grep -c "start 2" sweep-1.log)" = "1 0" ] || fail "sweep: the wrong task was requeued"
for seed in 1 2; do
    "$cox" train "$tiny" --out "sweep/$seed" -j 1 --set updates=400 --set seed=$seed >sweep.ref 2>&1 || fail "sweep: reference"
    cmp "sweep/$seed/policy.safetensors" sweep/tiny-seed$seed/policy.safetensors || fail "sweep: seed $seed differs"
done

# an evaluation, stopped once: it goes on, and says what one says that was not stopped
policy=$work/sweep/1/policy.safetensors
suite=(--seeds 2 --set evaluation.tasks_per_entry=3 --set "evaluation.learning_rates=[1e-2,1e-1]"
    --set "evaluation.static_learning_rates=[1e-1]" --set "evaluation.sgd_learning_rates=[1]"
    --set evaluation.max_extensions=1 --set evaluation.trials=4 --set tasks.0.inner_per_outer=2000)
id=$(sbatch --parsable --nodes=2 --ntasks-per-node=2 --mem-per-cpu=200M --time=5 --signal=B:USR1@5 -o eval.log \
    "$root/slurm/eval.sbatch" "$tiny" "$policy" "$work/eval" "${suite[@]}")
working() { [ "$(stat -c %s eval/trials.bin 2>/dev/null || echo 0)" -gt 20000 ]; }
job_until "$id" working || fail "eval: $(log eval)"
scancel -s USR1 "$id"
job_until "$id" job_held || fail "eval: not requeued: $(log eval)"
job_until "$id" job_over || fail "eval: $(log eval)"
[ "$(state "$id") $(job "$id" Restarts)" = "COMPLETED 0:0 1" ] || fail "eval: $(state "$id"): $(log eval)"
"$cox" eval "$tiny" --policy "$policy" --out eval.whole -j 3 "${suite[@]}" >eval.ref 2>&1 || fail "eval: reference"
cmp <(figures eval/evaluation.json) <(figures eval.whole/evaluation.json) || fail "eval: another result"
finish
