/* The problems of the family algo. An example is a pattern of input bits; everything else
 * follows from it.
 *
 * xor (running parity): one input a step; the label of step t is the parity of the bits 0
 * .. t. addition: two inputs a step, a bit of each of two numbers, least significant bit
 * first; the label of step t is bit t of their sum (modulo 2^length: there is no step for
 * the last carry). Bits go in as -1 and 1.
 *
 * The paper names difficulty and training multiplier only; lengths are ours:
 *   xor       length = round(8 + 24 difficulty)   (8 .. 32 bits)
 *   addition  length = round(4 + 28 difficulty)   (4 .. 32 bits of each number)
 *   run       = training_multiplier (150 + 250 difficulty) inner steps
 *
 * Training, validation and test never share an example: the space of patterns is cut by
 * a hash of the pattern, keyed by the task's seed, about 8 : 1 : 1. Both orders of the
 * same two summands count as one example. At difficulty 0 there are 256 patterns, at 1
 * there are 2^32 (xor) and 2^64. */
#ifndef CX_TASKS_ALGO_PROBLEMS_H
#define CX_TASKS_ALGO_PROBLEMS_H

#include "base/rng.h"
#include "tasks/task.h"
#include <stdint.h>

enum { CX_ALGO_XOR, CX_ALGO_ADDITION, CX_ALGO_PROBLEMS };
enum { CX_ALGO_INPUTS_MAX = 2, CX_ALGO_LENGTH_MAX = 32 };
extern const char *const cx_algo_problem_words[];

int cx_algo_inputs(int problem); /* of a step */
int cx_algo_length(int problem, double difficulty);
/* Inner steps of a run of training multiplier 1. */
double cx_algo_steps(double difficulty);

/* A problem of one length with its splits. */
typedef struct {
    int problem, length;
    uint64_t seed; /* of the splits */
} cx_algo;

int cx_algo_bits(const cx_algo *a); /* of a pattern: inputs * length, 8 .. 64 */
cx_split cx_algo_split(const cx_algo *a, uint64_t pattern);
/* A pattern of that split, all of them equally likely. */
uint64_t cx_algo_draw(const cx_algo *a, cx_split split, cx_rng *rng);
/* At most `max` patterns of a split, all different where there are at most 2^30 patterns
 * (beyond, two equal ones are as good as never drawn), in an order that rng determines:
 * all patterns of the split where it has fewer. Returns how many. */
uint32_t cx_algo_list(const cx_algo *a, cx_split split, cx_rng *rng, uint64_t *patterns,
                      uint32_t max);
/* Bit `input` of step t; the label of every step. */
int cx_algo_input(const cx_algo *a, uint64_t pattern, int t, int input);
void cx_algo_labels(const cx_algo *a, uint64_t pattern, int label[CX_ALGO_LENGTH_MAX]);

#endif
