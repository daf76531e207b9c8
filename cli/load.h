/* What several commands begin with: the configuration and the data it names. */
#ifndef CX_CLI_LOAD_H
#define CX_CLI_LOAD_H

#include "cli/args.h"
#include "config/config.h"
#include "tasks/task.h"

/* Reads CONFIG (the first word) with all --set. faults may be NULL. */
int cx_load_config(const cx_args *args, cx_config *config, cx_faults *faults, cx_error *err);

/* The policy file's network for a runner's shape, and the configuration that it was
 * trained with. *block is free()d by the caller. CX_ECONFIG when observations, actions
 * or network of `config` differ from the policy's. */
int cx_load_policy(const char *path, const cx_config *config, float **block, cx_error *err);

/* Takes over from the policy's own configuration what belongs to the policy, so that it can
 * act on any tasks: actions, observations, network, update rule and its start, features, the
 * parameters' average, episode.outer_examples. cx_load_policy finds them fitting then. */
int cx_adopt_policy(const char *path, cx_config *config, cx_error *err);

#endif
