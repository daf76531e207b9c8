#!/bin/bash
# bench/compare-torch: its arithmetic, with a stand-in for PyTorch's side whose times are
# known; what it skips and refuses.
. "$(dirname "$0")/lib.sh"
compare="$root/bench/compare-torch"
mkdir -p "$work/shared/bench"
# the stand-in answers both `python -c "import torch"` and the script's call; a second of
# OpenBLAS's kernel sets is the fastest, whatever the processor
cat >"$work/python" <<'P'
#!/bin/bash
[ "$1" = -c ] && exit 0
if [ "$(basename "$1")" = torch_update.py ]; then
    echo "$*" >"$(dirname "$0")/update"
    echo '{"res": {"ms": 900}}'
    exit
fi
shift
ms=20
[ -n "${OPENBLAS_CORETYPE:-}" ] && ms=10
case $1 in
policy) echo '{"res": {"eager": {"ms": 0.3}, "eager_sample": {"ms": 0.01}, "traced": {"ms": 0.1}}}' ;;
ppo) echo '{"res": {"ms": 430}}' ;;
nqm_manual) echo '{"res": {"adam": {"ms": 0.05}}}' ;;
*)
    ciao=""
    [[ $* == *,ciao ]] && ciao=', "ciao": {"ms": 30}'
    echo "{\"res\": {\"adam\": {\"ms\": $ms}$ciao}}"
    ;;
esac
P
chmod +x "$work/python"
touch "$work/shared/bench/bench_torch.py"

# without the peer's script, or without torch
CX_SHARED="$work/nowhere" expect 77 "^skip: no .*bench_torch.py" "$compare" nqm
CX_SHARED="$work/shared" TORCH_PYTHON="$work/none" expect 77 "^skip: .*torch" "$compare" nqm
export CX_SHARED="$work/shared" TORCH_PYTHON="$work/python"
BUILD=none expect 77 "^skip: no .*coxswain" "$compare" nqm
expect 2 "no task mpl" "$compare" mpl
expect 2 "rounds" "$compare" nqm --rounds 0
expect 2 "all tasks" "$compare" nqm --write

LHOPT_REF=/x "$compare" mlp nqm gru policy --rounds 1 --steps 8 --date 2001-02-03 >"$work/out" 2>"$work/err" ||
    fail "exit $?: $(cat "$work/err")"
grep -q "^2001-02-03; one core of" "$work/out" || fail "no date: $(cat "$work/out")"
python3 - "$work/out" <<'P' || fail "the table: $(cat "$work/out")"
import sys
rows = {}
for line in open(sys.argv[1]):
    cell = [c.strip() for c in line.strip("|\n ").split(" | ")]
    rows.setdefault(cell[0], []).append(cell)
def near(a, b):
    return abs(float(a) - b) <= 0.01 * abs(b) + 0.011
avx = " avx2" in open("/proc/cpuinfo").read()
for task in ("mlp", "gru"):
    name, mflop, a, core, b, c, bound, ours, a_ours, ours_c, b_ours = rows[task][0]
    ours = float(ours)
    assert float(a) == (10 if avx else 20) and (core in ("SKYLAKEX", "HASWELL")) == avx, (a, core)
    assert float(b) == 30 and near(c, float(mflop) / 100), (b, c)
    limit = float(c) * (1.7 if task == "gru" else 1.35)
    value, verdict = bound.split()
    assert near(value, limit) and (verdict == "(kept)") == (ours <= float(value)), bound
    assert near(a_ours, float(a) / ours) and near(ours_c, ours / float(c)) and near(b_ours, 30 / ours)
assert float(rows["mlp"][0][1]) == 64.9
nqm = rows["nqm"][0]
assert nqm[1] == nqm[5] == nqm[6] == nqm[9] == "-" and float(nqm[2]) == 0.05, nqm
shares = [float(x.split("(")[1].split()[0]) for x in rows["mlp"][1][2:]]
assert len(shares) == 5 and abs(sum(shares) - 100) < 1, shares
policy = [r for k, v in rows.items() if k.startswith("the policy") for r in v][0]
assert float(policy[1].split(",")[0]) == 100, policy
P
# the learner: three comparisons; the script of the whole update is told what ours has
"$compare" learner --rounds 1 --steps 50 >"$work/out" 2>"$work/err" || fail "exit $?: $(cat "$work/err")"
python3 - "$work/out" "$work/update" <<'P' || fail "the learner: $(cat "$work/out" "$work/update")"
import sys
rows = [[c.strip() for c in line.strip("|\n ").split(" | ")] for line in open(sys.argv[1])]
rows = [r for r in rows if len(r) == 4 and r[0].startswith(("like for like", "our whole"))]
step, whole, other = ([float(x.split(",")[0]) for x in r[1:]] for r in rows)
assert step[0] == other[0] == 430 and whole[0] == 900 and whole[1] == other[1] > step[1] > 0, rows
for a, ours, ratio in (step, whole, other):
    assert abs(ratio - a / ours) <= 0.01 * ratio + 0.006, rows
words = open(sys.argv[2]).read().split()
said = dict(zip(words[3::2], words[4::2]))
assert words[1] == "1" and said["--hidden"] == "256" and said["--length"] == "64" and said["--episodes"] == "128", words
assert int(said["--inputs"]) < int(said["--privileged"]) and "," in said["--heads"], words
P
# without the authors' optimizer column B is what was published, and says so
"$compare" mlp --rounds 1 --steps 8 >"$work/out" 2>&1 || fail "exit $?: $(cat "$work/out")"
grep -q "| 3.1 \* |" "$work/out" && grep -q "published" "$work/out" || fail "column B: $(cat "$work/out")"
finish
