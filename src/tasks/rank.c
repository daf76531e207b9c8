#include "tasks/rank.h"

#include <math.h>

enum { TOP = 10 };

cx_rank cx_rank_of_first(const float *scores, int n) {
    float mine = scores[0];
    int above = 0, equal = 0; /* of the others */
    cx_rank r = {0, 0};
    for (int i = 1; i < n; i++) {
        equal += scores[i] == mine;
        above += !(scores[i] <= mine); /* NaN on either side, too */
    }
    for (int place = above; place < TOP && place <= above + equal; place++) {
        r.hit += 1.0 / (equal + 1);
        r.gain += 1.0 / (equal + 1) / log2(place + 2);
    }
    return r;
}

cx_rank cx_rank_popularity(const cx_ratings *r, int split) {
    float scores[1 + CX_RATINGS_NEGATIVES];
    cx_rank sum = {0, 0};
    for (uint32_t e = 0; e < r->evaluated; e++) {
        const uint32_t *others = cx_ratings_negatives(r, split, e);
        scores[0] = (float)r->count[r->target[split][e]];
        for (int i = 0; i < CX_RATINGS_NEGATIVES; i++)
            scores[1 + i] = (float)r->count[others[i]];
        cx_rank one = cx_rank_of_first(scores, 1 + CX_RATINGS_NEGATIVES);
        sum.hit += one.hit / r->evaluated;
        sum.gain += one.gain / r->evaluated;
    }
    return sum;
}
