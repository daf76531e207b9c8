#!/bin/bash
# One short meta-training on two ranks under valgrind: no access out of bounds, no use of what
# was never written, no leak in our code. What Open MPI and its plugins do inside themselves is
# passed over (mpi.supp names their files alone); valgrind does not know AVX-512, so that the
# kernels of the level below it run.
. "$(dirname "$0")/lib.sh"
command -v valgrind >/dev/null || { echo "skip: no valgrind"; exit 77; }
sed -e 's/^updates: .*/updates: 2/' -e 's/episodes_per_update: 16, buffer_episodes: 16, minibatch_episodes: 8/episodes_per_update: 4, buffer_episodes: 4, minibatch_episodes: 2/' \
    "$tiny" >"$work/tiny.yaml"
grep -q 'updates: 2' "$work/tiny.yaml" && grep -q 'episodes_per_update: 4' "$work/tiny.yaml" || fail "tiny.yaml has changed"
memcheck=(valgrind --error-exitcode=99 --leak-check=full --show-leak-kinds=definite
    --errors-for-leak-kinds=definite --num-callers=40 --keep-debuginfo=yes
    --suppressions="$here/mpi.supp" "--log-file=$work/valgrind.%p")

under() { # PROGRAM ARGUMENTS...: two ranks of it; its exit status
    rm -f "$work"/valgrind.*
    mpirun -n 2 --oversubscribe "${memcheck[@]}" "$@" >"$work/log" 2>&1 </dev/null
}

under "$cox" train "$work/tiny.yaml" --out "$work/run" --set workers.silence_seconds=3600 ||
    fail "exit $?: $(tail -n 5 "$work/log"; grep -h -A 12 -m 3 -E 'lost in|Invalid|uninit|Syscall' "$work"/valgrind.*)"
grep -q '"update":2' "$work/run/metrics.jsonl" || fail "not two updates"
grep -h 'ERROR SUMMARY' "$work"/valgrind.*
# rank 0 and rank 1
[ "$(grep -l 'ERROR SUMMARY: 0 errors' "$work"/valgrind.* | wc -l)" = 2 ] || fail "two ranks without errors are right"

# the suppressions hide nothing of a program's own
cat >"$work/faulty.c" <<'C'
#include <mpi.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    int rank, *lost = malloc(4 * sizeof *lost);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (argc > 1 && lost[2] > 7) /* never written */
        rank = 0;
    if (argc > 1 || rank == 0)
        free(lost);
    lost = NULL; /* without "use", rank 1 loses it */
    MPI_Finalize();
    return 0;
}
C
mpicc -g -O0 -w -o "$work/faulty" "$work/faulty.c" || fail "mpicc"
under "$work/faulty" && fail "a leak beside MPI is not seen"
grep -q 'main (faulty.c' "$work"/valgrind.* || fail "the leak is not named"
under "$work/faulty" use && fail "a use of what was never written is not seen"
grep -q 'uninitialised' "$work"/valgrind.* || fail "the use is not named"
finish
