/* Replays recorded operator vectors (the format of shared/vectors/README.md): builds a
 * graph of the one operator for every case, runs it forward and backward and compares
 * outputs and gradients. Float build only. */
#ifndef CX_NN_REPLAY_H
#define CX_NN_REPLAY_H

#include "base/error.h"
#include <jansson.h>
#include <stddef.h>

/* An error is |got - reference| / max(1, |reference|); two equal infinities or two NaN
 * agree, one alone is an infinite error. */
#define CX_REPLAY_TOLERANCE 1e-5

/* Replays all cases of a file that json_load has read. The largest errors over all
 * cases go to *output_error and *gradient_error, and to `detail` (`size` bytes) which
 * array each of them comes from.
 *   CX_OK           every case within tolerance
 *   CX_ESTATE       past tolerance: case, array, index, both values
 *   CX_EUNSUPPORTED names the operator, attribute, input or output that we do not have
 *   CX_EDATA        the file is not of the format: what is missing or does not fit
 * Operator names may carry a suffix: a number, which stands for the first attribute
 * where the case does not give it (act_leaky_relu_0.33), or _eval. Cases whose name
 * begins with "eval" also run in eval mode, and so do operators with running
 * statistics when a case has no outputs new_NAME. */
int cx_replay_operator(const json_t *root, double *output_error, double *gradient_error,
                       char *detail, size_t size, cx_error *err);
/* The same from a file; the messages name it. */
int cx_replay_operator_file(const char *path, double *output_error, double *gradient_error,
                            char *detail, size_t size, cx_error *err);

#endif
