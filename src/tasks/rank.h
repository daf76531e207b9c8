/* Ranking one item among others: what recommenders are measured by. */
#ifndef CX_TASKS_RANK_H
#define CX_TASKS_RANK_H

#include "data/ratings.h"

/* Of one user: is the item among the first ten (0 or 1), and 1 / log2(place + 1) where it
 * is, else 0 (places from 1): HR@10 and NDCG@10 before their means over users. */
typedef struct {
    double hit, gain;
} cx_rank;

/* scores[0] is the item's, those of the n - 1 others follow. Equal scores stand in any
 * order, and the mean over all of these is what counts: who gives all items the same score
 * is as good as chance (a hit of 10 / n), not right and not wrong. A score that is NaN
 * never helps: the item's stands last, another's stands before the item. */
cx_rank cx_rank_of_first(const float *scores, int n);

/* Means over all evaluated users of ranking by the number of training interactions, on the
 * same candidates as the networks: what a recommender must beat that knows its users. */
cx_rank cx_rank_popularity(const cx_ratings *ratings, int split);

#endif
