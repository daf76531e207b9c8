/* Processes, by which a rank finds out that another one on its machine has died. */
#ifndef CX_BASE_PROCESS_H
#define CX_BASE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Name of this machine, cut to fit; "?" where it has none. */
void cx_process_host(char *name, size_t size);
/* A process of this machine does not exist any more, or is a zombie. */
bool cx_process_ended(int64_t pid);
/* The same of a process on `host`; false for other machines, about which nothing is known. */
bool cx_process_ended_on(const char *host, int64_t pid);

#endif
