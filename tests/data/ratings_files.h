/* Small files of ratings, made by the tests themselves. */
#ifndef CX_TESTS_RATINGS_FILES_H
#define CX_TESTS_RATINGS_FILES_H

#include "tests/data/idx_files.h"

typedef struct {
    int user, item, time; /* numbers as they stand in the file */
} made_rating;

/* Users of GROUPS tastes: user u knows PER_USER of the GROUP_ITEMS items of group
 * u % GROUPS, each at a time of its own; the same ones in every run. */
enum {
    MADE_USERS = 60,
    MADE_GROUPS = 5,
    MADE_GROUP_ITEMS = 26,
    MADE_ITEMS = MADE_GROUPS * MADE_GROUP_ITEMS,
    MADE_PER_USER = 12,
    MADE_RATINGS = MADE_USERS * MADE_PER_USER
};

static inline int made_user(int u) {
    return 3 + 10 * u;
}

static inline int made_item(int i) {
    return 1 + 7 * i;
}

/* In the order of users, then of time. */
static inline void make_ratings(made_rating out[MADE_RATINGS]) {
    uint32_t state = 1;
    for (int u = 0; u < MADE_USERS; u++) {
        int item[MADE_GROUP_ITEMS];
        for (int i = 0; i < MADE_GROUP_ITEMS; i++)
            item[i] = u % MADE_GROUPS * MADE_GROUP_ITEMS + i;
        for (int k = 0; k < MADE_PER_USER; k++) {
            state = state * 1664525u + 1013904223u;
            int j = k + (int)((state >> 8) % (uint32_t)(MADE_GROUP_ITEMS - k));
            int chosen = item[j];
            item[j] = item[k];
            item[k] = chosen;
            out[u * MADE_PER_USER + k] =
                (made_rating){made_user(u), made_item(chosen), 1000000000 + 50 * k + u};
        }
    }
}

/* Writes FOLDER/NAME in the format that the name says. */
static inline void put_ratings(const char *folder, const char *name, const made_rating *r, int n) {
    size_t room = 64 * ((size_t)n + 1), at = 0;
    char *text = malloc(room);
    int tabs = strncmp(name, "u.data", 6) == 0, csv = strstr(name, ".csv") != NULL;
    const char *form = tabs ? "%d\t%d\t%d\t%d\n" : csv ? "%d,%d,%d.5,%d\r\n" : "%d::%d::%d::%d\n";
    assert_non_null(text);
    if (csv)
        at += (size_t)snprintf(text, room, "userId,movieId,rating,timestamp\r\n");
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, room - at, form, r[i].user, r[i].item, i % 5, r[i].time);
    put_file(folder, name, text, at);
    free(text);
}

#endif
