#!/bin/bash
# The program on processors that this machine is not: qemu's emulation of older ones
# (Debian's qemu-user). A wrong instruction outside its level's kernels ends it there.
. "$(dirname "$0")/lib.sh"
qemu=${QEMU_X86_64:-qemu-x86_64}
if ! command -v "$qemu" >/dev/null || [ "$(uname -m)" != x86_64 ]; then
    echo "skip: no qemu-x86_64 (package qemu-user)"
    exit 77
fi
vectors=${CX_SHARED:-$root/../shared}/vectors
old() { # PROCESSOR, then the command: its exit status and output are the program's
    local cpu=$1
    shift
    "$qemu" -cpu "$cpu" "$cox" "$@" 2> >(grep -v "^qemu-x86_64: warning: TCG" >&2)
}
runs() { old "$1" version | sed -n 's/^kernels.*; //p'; }
[ "$(runs Nehalem)" = "x86-64-v2 runs" ] || fail "Nehalem: $(runs Nehalem)"
[ "$(runs Haswell)" = "x86-64-v3 runs" ] || fail "Haswell: $(runs Haswell)"
expect 3 "older than x86-64-v2" old core2duo version
CX_KERNELS=x86-64-v3 expect 2 "does not have x86-64-v3; the best that it has here is x86-64-v2" old Nehalem version
expect 2 "workers.kernels: this machine does not have x86-64-v4" \
    old Haswell train "$tiny" --out "$work/x" -j 1 --set workers.kernels=x86-64-v4

# the operators' and the optimizer's reference vectors, and a training
for pair in Nehalem:x86-64-v2 Haswell:x86-64-v3; do
    cpu=${pair%:*} level=${pair#*:}
    if [ -d "$vectors/operators" ]; then
        old "$cpu" replay "$vectors"/{operators,optimizer}/*.json >"$work/log" 2>&1
        [ $? -le 3 ] && [ "$(grep -c ": ok " "$work/log")" -gt 50 ] && ! grep -vq ": ok \|: unsupported " "$work/log" ||
            fail "$cpu, vectors: $(grep -v ": ok " "$work/log")"
    else
        echo "skip: $vectors is not there"
    fi
    old "$cpu" train "$tiny" --out "$work/$cpu" -j 1 --set updates=2 >"$work/log" 2>&1 || fail "$cpu, train: $(tail -3 "$work/log")"
    grep -q "\"kernels\":\"$level\"" "$work/$cpu/metrics.jsonl" || fail "$cpu: metrics do not name $level"
done

# a network with convolutions comes to the loss that this machine finds at that level, but for
# the last bits of libm
cat >"$work/t.yaml" <<'Y'
tasks:
  - {family: images, architecture: cnn, outer_steps: 2, inner_steps: 8, batch_size: 16, resolution: 14}
Y
loss() { sed -n 's/.*"test_loss": \([0-9.e+-]*\).*/\1/p' "$1" | tail -1; }
old Nehalem run "$work/t.yaml" --optimizer adamw --json >"$work/old" 2>"$work/log" || fail "run: $(tail -3 "$work/log")"
CX_KERNELS=x86-64-v2 "$cox" run "$work/t.yaml" --optimizer adamw --json >"$work/new" 2>"$work/log" || fail "run here: $(tail -3 "$work/log")"
python3 -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(not abs(a - b) < 1e-3 * b)' \
    "$(loss "$work/old")" "$(loss "$work/new")" || fail "test loss '$(loss "$work/old")', here '$(loss "$work/new")'"

# one old machine among the ranks: the least of all runs; what it cannot do is refused for all
ranks() { # NAME, further words: rank 1 is old
    local name=$1
    shift
    local words=(train "$tiny" --out "$work/$name" --set updates=2 "$@")
    mpirun --oversubscribe --bind-to none -n 1 "$cox" "${words[@]}" : -n 1 "$qemu" -cpu Nehalem "$cox" "${words[@]}"
}
ranks mixed >"$work/log" 2>&1 || fail "mixed: $(tail -3 "$work/log")"
grep -q "^kernels: x86-64-v2 on all ranks, as rank 1 on .* has no better" "$work/log" || fail "mixed: $(cat "$work/log")"
ranks refused --set workers.kernels=x86-64-v3 >"$work/log" 2>&1 && fail "refused: it was not"
grep -q "rank 1 on .* cannot run the kernels that are asked for" "$work/log" || fail "refused: rank 0 says nothing: $(cat "$work/log")"
grep -q "does not have x86-64-v3" "$work/log" || fail "refused: rank 1 says nothing: $(cat "$work/log")"
finish
