#!/bin/bash
# The pages of `coxswain report` in headless Chromium, as wide as a desk's window, a phone's and
# paper, light and dark: nothing is missing, cut or overlapping, no error on the console; and
# faults that are planted are found.
. "$(dirname "$0")/../mpi/lib.sh"
browser=$(command -v chromium || command -v chromium-headless-shell)
if [ -z "$browser" ]; then
    echo "skip: no chromium or chromium-headless-shell to look at the pages with"
    exit 77
fi
browse() { python3 "$root/tests/report/browse.py" "$browser" "$@"; }

small="--set evaluation.learning_rates=[1e-2,1e-1] --set evaluation.static_learning_rates=[1e-1] --set evaluation.sgd_learning_rates=[1] --set evaluation.max_extensions=1 --set evaluation.trials=4 --set evaluation.tasks_per_entry=3"
"$cox" train "$tiny" --out "$work/run" -j 1 --set updates=6 --set actions.registers=2 >"$work/log" 2>&1 || fail "train: $(tail -3 "$work/log")"
"$cox" eval "$tiny" --policy "$work/run/policy.safetensors" --out "$work/eval" --seeds 3 -j 1 $small >"$work/log" 2>&1 || fail "eval: $(tail -3 "$work/log")"
expect 0 "$work/eval/report.html" "$cox" report "$work/eval"
expect 0 "$work/run/report.html" "$cox" report "$work/run"
for what in "coxswain eval $tiny" "--set &#39;evaluation.learning_rates=\[1e-2,1e-1\]&#39;" "Speedup of policy" "Performance profile" "Learning curves, validation" "Effective learning rate" \
    "Momentum: 1 - beta1" "Clipping of the gradient" "restart from saved weights" "How it was measured" "Begun 2"; do
    grep -q -- "$what" "$work/eval/report.html" || fail "the evaluation's page does not tell of '$what'"
done
for what in "coxswain train $tiny" "<b>Reward</b>" "<b>Entropy per head</b>" "KL divergence" "Explained variance" "<b>Staleness</b>" \
    "<b>Episodes per second</b>" "<b>Occupancy of the workers</b>"; do
    grep -q "$what" "$work/run/report.html" || fail "the run's page does not tell of '$what'"
done

# larger, longer, poorer and stranger ones
python3 "$root/tests/report/make_folders.py" "$work/eval" "$work/run" "$work/made" || fail "make_folders.py"
for d in "$work"/made/*; do
    "$cox" report "$d" >/dev/null 2>"$work/log" || fail "report $d: $(cat "$work/log")"
done
mkdir "$work/other" && echo '{"format":"another"}' >"$work/other/evaluation.json"
expect 2 "not an evaluation's results" "$cox" report "$work/other"
echo '{"format":' >"$work/other/evaluation.json"
expect 2 "evaluation.json:" "$cox" report "$work/other"
grep -q "curves are recorded" "$work/made/old/report.html" || fail "the page of an old folder does not say what it lacks"
grep -q "No task of this evaluation is complete" "$work/made/empty/report.html" || fail "the page of an empty evaluation"
grep -q "Not finished: 2 of 3 tasks" "$work/made/part/report.html" || fail "the page of an unfinished evaluation"
grep -q "part 2 of 2" "$work/made/many/report.html" || fail "32 tasks in one drawing"
browse "$work/light" "$work"/{eval,run}/report.html "$work"/made/*/report.html || fail "faults in light pages"
browse "$work/dark" --dark "$work"/{eval,run}/report.html || fail "faults in dark pages"

# faults that are planted in good pages are found
good="$work/run/report.html"
plant() { # NAME SED-SCRIPT WHAT
    sed "$2" "$good" >"$work/bad-$1.html"
    cmp -s "$good" "$work/bad-$1.html" && fail "nothing was planted: $1"
    planted+=("$1:$3")
}
planted=()
plant text '0,/<text class="label"/s//<text class="tick" x="300" y="12">planted over<\/text><text class="tick" x="310" y="14">each other<\/text>&/' "texts overlap"
plant outside '0,/<text class="label"/s//<text class="tick" x="2000" y="12">far<\/text>&/' "a text outside"
plant table '0,/<tbody>/s//<tbody hidden="hidden"><\/tbody><tfoot>/; 0,/<\/tbody>\n<\/table>/s//<\/tfoot><\/table>/' "no table below"
plant axis 's/<text class="label"[^>]*>[^<]*<\/text>//' "axes without titles"
plant title '0,/<figcaption><b>[^<]*<\/b>/s//<figcaption><b><\/b>/' "a figure without a title"
plant wide '0,/<p class="lead"/s//<p style="width:3000px;max-width:none">x<\/p>&/' "wider than the window"
plant load '0,/<h1>/s//<img alt="" src="data:,"\/>&/' "something that is loaded"
plant pale 's/--soft:#57606a/--soft:#c0c0c0/' "too little contrast"
plant error '0,/<h1>/s//<script>console.error("planted")<\/script>&/' "console: .*planted"
browse "$work/bad" "$work"/bad-*.html >"$work/log" 2>&1 && fail "no planted fault was found"
for p in "${planted[@]}"; do
    grep -q "${p#*:}" <(grep "bad-${p%%:*}.html\|^console" "$work/log") || fail "planted, and not found: $p"
done
finish
