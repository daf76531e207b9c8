#!/bin/bash
# Faults at random moments, again and again, for COXSWAIN_FAULT_MINUTES (10): every run must
# end with the weights and lines of one that was left alone. Ends with a table.
# "lost": episodes that stood in episodes.jsonl at the fault and do not at the end. "again":
# those that were done twice. "back": seconds until two more updates were made (after the
# start of --resume, where the fault ends the run).
# shellcheck disable=SC2154 # variables of lib.sh
. "$(dirname "$0")/lib.sh"
. "$here/faults.sh"
echo "seed $seed"
reference
kinds="kill_worker segv_worker stop_worker pause_worker slow_worker kill_learner stop_learner pause_learner kill_coordinator kill_workers kill_all orphans damage_checkpoint two_runs write_protected"
if open_disk; then kinds="$kinds full_disk"; else echo "skip: full_disk needs root"; fi
if [ "$(id -u)" = 0 ] && ! command -v setpriv >/dev/null; then
    echo "skip: write_protected as root needs setpriv"
    kinds=${kinds/ write_protected/}
fi
end=$((SECONDS + 60 * ${COXSWAIN_FAULT_MINUTES:-10}))
while [ $SECONDS -lt $end ]; do
    for kind in $kinds; do
        [ $SECONDS -lt $end ] || break
        once "$kind" || continue # it was over before
        echo "$kind ${back:-nan} ${lost:-nan} ${again:-nan} ${wrong:+wrong}" >>"$work/table"
        [ -z "$wrong" ] || fail "$kind: $wrong"
    done
done
python3 - "$work/table" <<'P'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    kind, back, lost, again, *wrong = line.split()
    rows.setdefault(kind, []).append((float(back), float(lost), float(again), bool(wrong)))
print("%-18s %6s %6s %5s %12s %12s" % ("fault", "runs", "right", "lost", "again med/max", "back med/max"))
for kind, r in rows.items():
    back, again = [x[0] for x in r], [x[2] for x in r]
    print("%-18s %6d %6d %5.0f %6.1f %6.0f %6.1f %6.1f" % (
        kind, len(r), sum(not x[3] for x in r), sum(x[1] for x in r), statistics.median(again), max(again),
        statistics.median(back), max(back)))
P
finish
