#!/bin/bash
# coxswain replay: verdicts, exit statuses and their order.
set -u
program="${COXSWAIN:-build/coxswain}"
vectors="${CX_SHARED:-../shared}/vectors"
[ -d "$vectors/optimizer" ] || { echo "$vectors is not there"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
# expect STATUS PATTERN-OF-STDOUT ARGUMENT...
expect() {
    local status=$1 pattern=$2
    shift 2
    "$program" replay "$@" >"$work/out" 2>"$work/err"
    local got=$?
    if [ "$got" != "$status" ] || { [ "$pattern" ] && ! grep -q -- "$pattern" "$work/out"; }; then
        echo "replay $*: status $got, not $status, or no '$pattern' in:"; cat "$work/out" "$work/err"
        bad=1
    fi
}
good=$vectors/optimizer/default.json
unwanted=$vectors/optimizer/lookahead.json
operator=$vectors/operators/softmax.json
sed 's/"lr":0.001,/"lr":0.0011,/' "$good" >"$work/wrong.json"
head -c 5000 "$good" >"$work/cut.json"
echo '{"some": "thing"}' >"$work/other.json"

expect 0 "default.json: ok  parameters [0-9.e-]*  features" "$good"
expect 0 "softmax.json: ok  outputs [0-9.e-]*  gradients" "$good" "$operator"
expect 3 "lookahead.json: unsupported.*lookahead_alpha" "$good" "$unwanted"
expect 1 "wrong.json: FAIL.*step 1" "$work/wrong.json" "$unwanted" "$work/cut.json"
expect 2 "cut.json: error" "$work/cut.json" "$unwanted"
expect 2 "missing.json: error" "$work/missing.json"
expect 2 "other.json: error.*neither" "$work/other.json"
expect 2 ""
expect 2 "" --jsn "$good"
expect 0 "usage: coxswain replay" -h
expect 0 '"result": "ok", "parameters": [0-9.e-]*, "features"' --json "$good"
expect 3 '"result": "unsupported", "what": ".*lookahead_alpha' "$unwanted" --json
[ "$(wc -l <"$work/out")" = 1 ] || { echo "--json: one line is expected"; bad=1; }
# more files than one would list by hand
expect 0 "default.json: ok" $(for _ in $(seq 80); do echo "$good"; done)
"$program" replay "$good" >/dev/full 2>/dev/null && { echo "a full disk is no success"; bad=1; }
exit $bad
