/* What a number or a word of a task is drawn from. In YAML:
 *     batch_size: 64                      a constant
 *     batch_size: [16, 32, 64]            a uniform choice
 *     dropout: {uniform: [0, 0.5]}        uniform
 *     noise: {log: [0.1, 3]}              log-uniform
 *     layers: {int: [1, 5]}               uniform over whole numbers, both ends included
 *     hidden: {log_int: [32, 512]}        log-uniform, rounded
 *     norm: [none, batch, layer]          a choice of words */
#ifndef CX_CONFIG_DISTRIBUTION_H
#define CX_CONFIG_DISTRIBUTION_H

#include "base/error.h"
#include "base/rng.h"
#include <stdbool.h>

#define CX_CHOICES_MAX 24

typedef enum {
    CX_DIST_CONSTANT,
    CX_DIST_CHOICE,
    CX_DIST_UNIFORM,
    CX_DIST_LOG,
    CX_DIST_INT,
    CX_DIST_LOG_INT
} cx_dist_kind;

typedef struct {
    cx_dist_kind kind;
    double low, high; /* both included; CONSTANT: both the value; CHOICE: the extremes */
    int n_choices;
    double choice[CX_CHOICES_MAX]; /* words are stored as their number in the schema */
} cx_dist;

double cx_dist_sample(const cx_dist *dist, cx_rng *rng);
/* Maps a value to [-1, 1] over the distribution's range (log scale where sampled
 * so; a choice by its rank among the distinct ones); 0 for constants. For the value function's task
 * vector. */
double cx_dist_position(const cx_dist *dist, double value);
/* All values that can be drawn, where they are at most CX_CHOICES_MAX; else 0. */
int cx_dist_values(const cx_dist *dist, double out[CX_CHOICES_MAX]);
/* The largest or the least value that can be drawn. */
double cx_dist_end(const cx_dist *dist, bool largest);

#endif
