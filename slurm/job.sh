# shellcheck shell=bash disable=SC2154 # home and configs come from the scripts
# What the batch scripts of this folder share. Sourced by them; needs `home`, the folder of
# coxswain. See docs/user.md, "Slurm".

launcher=${COXSWAIN_LAUNCHER:-mpirun}
margin=${COXSWAIN_MARGIN:-120}
max_requeues=${COXSWAIN_REQUEUES:-3}
case $launcher in
mpirun | srun) ;;
*)
    echo "COXSWAIN_LAUNCHER=$launcher: want mpirun or srun" >&2
    exit 2
    ;;
esac
for word in "COXSWAIN_MARGIN=$margin" "COXSWAIN_REQUEUES=$max_requeues"; do
    [[ ${word#*=} =~ ^-?[0-9]+$ ]] || {
        echo "$word: want a whole number" >&2
        exit 2
    }
done
unset SLURM_EXPORT_ENV # `sbatch --export=...` is not meant for the steps that mpirun starts
export SLURM_TIME_FORMAT=standard
cox=$home/build/coxswain
[ -x "$cox" ] || cox=$(command -v coxswain) || {
    echo "neither $home/build/coxswain nor coxswain in PATH: set COXSWAIN_HOME" >&2
    exit 2
}
# this job, or this task of an array: the job's number alone may mean the whole array
this_job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
this_job=${this_job:-${SLURM_JOB_ID:-}}
child=
part_header=24 # bytes of a checkpoint file before its data

say() { echo "$(date '+%F %T') $*" >&2; }

# usage WORDS TEXT ARGUMENTS...: at least so many arguments
usage() {
    [ $(($# - 2)) -ge "$1" ] && return
    echo "usage: sbatch $2" >&2
    exit 2
}

# Typed with bash instead of sbatch: looks over the configurations in `configs` here, then
# submits. submit_here SCRIPT ARGUMENTS...
submit_here() {
    local nodes tasks config
    [ -z "${SLURM_JOB_ID:-}" ] || return 0
    nodes=$(sed -n 's/^#SBATCH --nodes=\([0-9]*\).*/\1/p' "$1")
    tasks=$(sed -n 's/^#SBATCH --ntasks-per-node=\([0-9]*\).*/\1/p' "$1")
    for config in "${configs[@]}"; do
        "$cox" check "$config" --ranks $((${nodes:-1} * ${tasks:-1})) || exit
    done
    exec sbatch "$@"
}

# check CONFIG DIR [--set KEY=VALUE]...: before the first start, in the job itself
check() {
    local config=$1 dir=$2 sets=()
    shift 2
    [ "${SLURM_RESTART_COUNT:-0}" = 0 ] || return 0
    while [ $# -gt 0 ]; do
        case $1 in
        --set) sets+=("$1" "${2:-}") ;;
        --set=*) sets+=("$1") ;;
        esac
        shift
    done
    "$cox" check "$config" --out "$dir" "${sets[@]}" || exit
}

# Seconds until the run has to be over; nothing where the job has no end.
time_left() {
    local end=${SLURM_JOB_END_TIME:-} text # that is newer than Slurm 22.05
    if [ -z "$end" ]; then
        text=$(squeue -h -j "$this_job" -o %e 2>/dev/null)
        [ -n "$text" ] && end=$(date -d "$text" +%s 2>/dev/null) || return 0
    fi
    end=$((end - $(date +%s) - margin))
    echo $((end > 0 ? end : 0))
}

# What is safe on disk, as two numbers: of a training the newest whole checkpoint and the
# bytes of finished episodes in it (less those of the file's header), of an evaluation 0 and
# the bytes of its trials.
progress() {
    local done_files=("$1"/checkpoints/*[0-9]/DONE) newest
    newest=$(dirname "${done_files[-1]}")
    if [ -e "$newest/DONE" ]; then
        echo "$((10#$(basename "$newest"))) $(($(stat -c %s "$newest/episodes") - part_header))"
    else
        echo "0 $(stat -c %s "$1/trials.bin" 2>/dev/null || echo 0)"
    fi
}
further() { # A B: does progress A lie beyond B?
    local a b
    read -ra a <<<"$1"
    read -ra b <<<"$2"
    [ "${a[0]}" -gt "${b[0]}" ] || { [ "${a[0]}" = "${b[0]}" ] && [ "${a[1]}" -gt "${b[1]}" ]; }
}

# Counts the requeues (ours and Slurm's) without progress in a row, in DIR/requeues.
count_requeues() {
    local dir=$1 before
    progress_at_start=$(progress "$dir")
    idle_requeues=0
    if [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
        rm -f "$dir/requeues"
    elif [ -d "$dir" ]; then
        [ ! -e "$dir/requeues" ] || read -r idle_requeues before <"$dir/requeues"
        idle_requeues=$((${idle_requeues:-0} + 1))
        further "$progress_at_start" "${before:-0 0}" && idle_requeues=0
    fi
    [ "$idle_requeues" -le "$max_requeues" ] || give_up
    # nothing is put into the folder of a training that has not begun: it has to be empty
    if [ "$command" = eval ] || [ -e "$dir/config.yaml" ]; then
        echo "$idle_requeues $progress_at_start" >"$dir/requeues"
    fi
}
give_up() {
    say "$max_requeues requeues in a row without progress: given up"
    exit 1
}

# Signals to this script are passed on; the run then ends in good order.
pass_on() {
    signaled=1
    [ -n "$child" ] || return # it has ended
    say "SIG$1: the run is asked to stop"
    kill -USR1 "$child" 2>/dev/null
}

# run COMMAND...: returns its exit status. In the background, as bash runs no trap while it
# waits for a command in the foreground.
run() {
    local rc
    trap 'pass_on USR1' USR1
    trap 'pass_on TERM' TERM
    "$@" &
    child=$!
    while :; do
        signaled=
        wait "$child"
        rc=$?
        [ -n "$signaled" ] || break
    done
    child=
    return $rc
}

# Puts the job back into the queue and ends; returns where that is not to be.
requeue() {
    local state
    state=$(squeue -h -j "$this_job" -o %T 2>/dev/null)
    if [ "$state" != RUNNING ]; then # cancelled, or Slurm requeues it by itself
        say "the job is ${state:-gone}: not requeued"
        return
    fi
    say "requeued; Slurm holds a requeued job back for two minutes"
    # what is requeued gets a SIGTERM: this script, and scontrol if it did not ignore that
    if (trap '' TERM && exec scontrol requeue "$this_job"); then
        sleep 60 &
        wait $!
    else
        say "that was refused"
    fi
}

# work COMMAND CONFIG DIR [ARGUMENTS...]: the job; does not return.
work() {
    local command=$1 config=$2 dir=$3 words=() left rc
    shift 3
    count_requeues "$dir"
    left=$(time_left)
    [ ! -e "$dir/config.yaml" ] || words+=(--resume)
    [ -z "$left" ] || words+=(--time-left "$left")
    say "job $this_job, start $((${SLURM_RESTART_COUNT:-0} + 1)), ${left:-no limit of} seconds: $dir"
    run "$cox" "$command" "$config" --out "$dir" --launcher "$launcher" "${words[@]}" "$@"
    rc=$?
    say "ended with exit status $rc"
    if [ $rc = 75 ]; then
        further "$(progress "$dir")" "$progress_at_start" || [ "$idle_requeues" -lt "$max_requeues" ] || give_up
        requeue
    fi
    exit $rc
}

# train CONFIG DIR [ARGUMENTS...]
train() {
    check "$@"
    work train "$@"
}

# evaluate CONFIG POLICY DIR [ARGUMENTS...]
evaluate() {
    local config=$1 policy=$2 dir=$3
    shift 3
    check "$config" "$dir" "$@"
    mkdir -p "$dir" || exit 1
    work eval "$config" "$dir" --policy "$policy" "$@"
}
