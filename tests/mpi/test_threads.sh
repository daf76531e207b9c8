#!/bin/bash
# The program starts no thread: nothing in it calls what would, and a training is one thread.
# (So there is nothing for a race detector to look at. OpenBLAS and Open MPI have threads of
# their own; OpenBLAS is told not to make any.)
. "$(dirname "$0")/lib.sh"
starters='pthread_|thrd_create|GOMP_|omp_|\bclone3?\b|cilk'
nm -u "$root/build/libcoxswain.a" "$cox" >"$work/undefined" 2>&1 || fail "nm: $(tail -n 2 "$work/undefined")"
grep -q cblas_ "$work/undefined" || fail "nm lists nothing"
found=$(grep -E "$starters" "$work/undefined") && fail "the program uses threads:$found; see docs/developer.md"
# and the pattern would find one
printf '#include <pthread.h>\nint f(pthread_t *t, void *(*g)(void *)) { return pthread_create(t, 0, g, 0); }\n' >"$work/t.c"
cc -c -o "$work/t.o" "$work/t.c" && nm -u "$work/t.o" | grep -qE "$starters" || fail "the search finds nothing"

"$cox" train "$tiny" --out "$work/run" -j 1 --set updates=1000000 >"$work/log" 2>&1 </dev/null &
pid=$!
line_comes "$work/run/metrics.jsonl" "$pid"
[ -s "$work/run/metrics.jsonl" ] || fail "no training: $(tail -n 3 "$work/log")"
threads=$(ls "/proc/$pid/task" | wc -l)
[ "$threads" = 1 ] || fail "$threads threads in a training: $(cat /proc/$pid/task/*/comm | sort | uniq -c)"
kill -TERM "$pid"
wait "$pid"
finish
