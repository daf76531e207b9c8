# What the tests of the whole program share. Sourced.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cox="$root/build/coxswain"
tiny="$here/tiny.yaml"
work=$(mktemp -d "${TMPDIR:-/tmp}/coxswain-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
export OPENBLAS_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
# expect STATUS PATTERN COMMAND...: exit status, and a pattern on stderr or stdout
expect() {
    local status=$1 pattern=$2 out rc
    shift 2
    out=$("$@" 2>&1 </dev/null)
    rc=$?
    [ "$rc" = "$status" ] || fail "exit $rc instead of $status: $* :: $out"
    grep -q -- "$pattern" <<<"$out" || fail "no '$pattern' in what '$*' said: $out"
}
# figures FILE: what an evaluation.json says, without the times of this machine
figures() {
    python3 - "$1" <<'P'
import json, sys
def clean(x):
    if isinstance(x, dict):
        return {k: clean(v) for k, v in x.items() if "seconds" not in k and "in_time" not in k and k != "policy"}
    return [clean(v) for v in x] if isinstance(x, list) else x
print(json.dumps(clean(json.load(open(sys.argv[1])))))
P
}
# rank_pid DIR RANK: process of that rank of the run in DIR; nothing where there is none
rank_pid() {
    local p
    for p in $(pgrep -f -- "--out $1( |$)"); do
        tr '\0' '\n' 2>/dev/null <"/proc/$p/environ" | grep -q "^OMPI_COMM_WORLD_RANK=$2$" && echo "$p"
    done
}
# weights DIR: a sum of a policy file's numbers, without the configuration that it tells of
weights() {
    python3 - "$1/policy.safetensors" <<'P'
import hashlib, struct, sys
b = open(sys.argv[1], "rb").read()
print(hashlib.sha256(b[8 + struct.unpack("<Q", b[:8])[0]:]).hexdigest())
P
}
lines() { wc -l 2>/dev/null <"$1" || echo 0; }
# line_comes FILE PID: waits for its first line, as long as the process lives
line_comes() {
    while [ ! -s "$1" ] && kill -0 "$2" 2>/dev/null; do sleep 0.02; done
}
# kill_run DIR LAUNCHER: all of it, as a power cut does; the launcher first, or it would start
# the ranks again. They are gone when it returns: what they had locked is free.
kill_run() {
    kill -KILL "$2" 2>/dev/null
    while pkill -KILL -f -- "--out $1( |\$)"; do sleep 0.01; done
    wait "$2" 2>/dev/null
}
finish() {
    [ "$failures" = 0 ] && echo "ok"
    exit "$failures"
}
