#pragma once
#include "config/config.h"
#include "optim/optimizer.h"
#include <stdio.h>
/* clang-format off */
#define X(code, name) name,
__attribute__((weak)) const char *cx_hyper_name(cx_hyper_id id) { static const char *const n[] = {CX_HYPER_TABLE(X)}; return n[id]; }
#undef X
#define X(name) #name,
__attribute__((weak)) const char *cx_feature_name(cx_feature id) { static const char *const n[] = {CX_FEATURE_TABLE(X)}; return n[id]; }
#undef X
int cx_task_vector_size(void);
__attribute__((weak)) int cx_task_vector_size(void) { return 15; }
