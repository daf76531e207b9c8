#!/bin/bash
# One fault of each kind at a random moment (COXSWAIN_FAULT_SEED repeats them): the run goes
# on, or says why it does not and goes on with --resume, and ends with the weights and lines
# of a run that was left alone. long_faults.sh does that for many moments.
# shellcheck disable=SC2154 # variables of lib.sh
. "$(dirname "$0")/lib.sh"
. "$here/faults.sh"
echo "seed $seed"
reference
kinds="kill_worker stop_worker kill_coordinator orphans damage_checkpoint two_runs"
if open_disk; then kinds="$kinds full_disk"; else echo "skip: full_disk needs root"; fi
for kind in $kinds; do
    for try in 1 2 3 4 5; do
        once "$kind" && break
        [ $try = 5 ] && fail "$kind: five runs were over before the fault"
    done
    echo "$kind: back after $back s, ${again:-?} episodes done again${wrong:+; WRONG: $wrong}"
    [ -z "$wrong" ] || fail "$kind: $wrong"
done
finish
