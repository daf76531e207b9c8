/* Ratings of items by users (MovieLens' files), taken as implicit feedback: a user who
 * rated an item, however badly, has interacted with it. Cut by time, leaving one out: of
 * each user the newest interaction is the test split's, the one before it the validation
 * split's, all others are the training split (He et al. 2017, "Neural Collaborative
 * Filtering", section 4.1; their validation items are drawn at random).
 *
 * Formats, told apart by the first line, each plain or gzipped:
 *     user::item::rating::time             ratings.dat
 *     user TAB item TAB rating TAB time    u.data
 *     a header with userId, movieId, rating and timestamp among its columns, then lines of
 *     values between commas                ratings.csv
 *
 * What is decided here:
 * - Users and items are numbered 0, 1, ... in the order of their numbers in the file. All
 *   items of the file have a number, those that only ever stand in a held-out split, too:
 *   a catalog is known before its items are bought.
 * - A user's items at the same time go by their numbers, the higher counts as newer: the
 *   order of the lines means nothing.
 * - A pair of user and item that stands there several times is one interaction, at its
 *   newest time.
 * - A user with fewer than CX_RATINGS_LEAST interactions, or to whom fewer than
 *   CX_RATINGS_NEGATIVES items are left, is in the training split alone.
 * - The items that a held-out one is ranked among are drawn once, without repetition, from
 *   those that the user has no interaction with in any split, by a stream that depends on
 *   nothing but user and split: all runs on the same data use the same ones. */
#ifndef CX_DATA_RATINGS_H
#define CX_DATA_RATINGS_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CX_RATINGS_NEGATIVES = 99, /* that an evaluated item is ranked among */
    CX_RATINGS_LEAST = 3       /* interactions of an evaluated user */
};

/* Read only. Splits are numbered 0 (training), 1 (validation), 2 (test). */
typedef struct {
    uint32_t users, items;
    uint32_t repeated; /* lines left out, as the same pair stands there with a newer time */
    /* Training interactions, by user, then by item. */
    uint32_t positives;
    uint32_t *user, *item; /* [positives] */
    uint32_t *first;       /* [users + 1] where each user's begin */
    uint32_t *count;       /* [items] training interactions of each item */
    /* Evaluated users, ascending; of each the item of every split: what is held out, and
     * for the training split the newest training interaction. */
    uint32_t evaluated;
    uint32_t *who;       /* [evaluated] */
    uint32_t *target[3]; /* [evaluated] */
    uint32_t *negatives; /* [evaluated][3][CX_RATINGS_NEGATIVES], see cx_ratings_negatives */
} cx_ratings;

/* `path` is a file, or a folder that holds one of ratings.dat, ratings.csv and u.data, plain
 * or with .gz. CX_EDATA, with file and line: a missing column, what is not a number, nothing
 * to evaluate; CX_ENOMEM. */
int cx_ratings_open(const char *path, cx_ratings **out, cx_error *err);
void cx_ratings_close(cx_ratings *r); /* NULL: nothing */

/* The CX_RATINGS_NEGATIVES items that evaluated user number e (the place in `who`) is asked
 * about in a split, besides its own. */
const uint32_t *cx_ratings_negatives(const cx_ratings *r, int split, uint32_t e);
/* How many items a user has no training interaction with (at least 1), and number k of them,
 * ascending. The user's own held-out items are among them: training must not tell them from
 * other items. */
uint32_t cx_ratings_others(const cx_ratings *r, uint32_t user);
uint32_t cx_ratings_other(const cx_ratings *r, uint32_t user, uint32_t k);

#endif
