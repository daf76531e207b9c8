/* Ratings: ratings.dat, ratings.csv, u.data. */
#include "tests/fuzz/fuzz.h"

#include "data/ratings.h"
#include <stdio.h>

static void use(const cx_ratings *r) {
    for (uint32_t i = 0; i < r->positives; i++)
        fuzz_must(r->user[i] < r->users && r->item[i] < r->items);
    for (uint32_t e = 0; e < r->evaluated; e++)
        for (int s = 0; s < 3; s++) {
            const uint32_t *negative = cx_ratings_negatives(r, s, e);
            fuzz_must(r->who[e] < r->users && r->target[s][e] < r->items);
            for (int k = 0; k < CX_RATINGS_NEGATIVES; k++)
                fuzz_must(negative[k] < r->items && negative[k] != r->target[s][e]);
        }
    for (uint32_t u = 0; u < r->users && u < 4; u++) {
        uint32_t others = cx_ratings_others(r, u);
        fuzz_must(others >= 1 && cx_ratings_other(r, u, others - 1) < r->items);
    }
}

static bool run(const uint8_t *data, size_t size) {
    cx_ratings *r;
    cx_error err;
    fuzz_put("ratings", data, size);
    if (!fuzz_taken(cx_ratings_open(fuzz_path("ratings"), &r, &err), &err)) {
        fuzz_must(!r);
        return false;
    }
    use(r);
    cx_ratings_close(r);
    return true;
}

/* One user who is evaluated, and another who fills the catalog. */
static void seeds(const fuzz_sink *sink) {
    static const char *const form[] = {"%d::%d::5::%d\n", "%d\t%d\t3\t%d\n", "%d,%d,3.5,%d\r\n"};
    char text[8192];
    for (int f = 0; f < 3; f++) {
        int n = f == 2 ? sprintf(text, "userId,movieId,rating,timestamp\r\n") : 0;
        for (int i = 0; i < 106; i++) {
            n += sprintf(text + n, "%d", i < 4 ? 7 : 8 + i % 3);
            n += sprintf(text + n, form[f] + 2, 1000 - i, 900 + i * 7 % 50);
        }
        fuzz_seed(sink, text, (size_t)n);
    }
}

const fuzz_target fuzz_target_ratings = {"ratings", run, seeds};
