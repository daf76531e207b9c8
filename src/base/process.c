#include "base/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

void cx_process_host(char *name, size_t size) {
    char whole[256] = "";
    if (gethostname(whole, sizeof whole - 1) != 0 || !whole[0])
        (void)snprintf(whole, sizeof whole, "?");
    if (size > 0) {
        size_t n = strnlen(whole, size - 1);
        memset(name, 0, size);
        memcpy(name, whole, n);
    }
}

/* /proc/PID/stat is "PID (NAME) STATE ...", and a name may hold anything. */
static bool zombie(int64_t pid) {
    char path[64], text[512];
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = 0;
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] == 'Z';
}

bool cx_process_ended(int64_t pid) {
    if (pid <= 0)
        return false;
    if (kill((pid_t)pid, 0) != 0)
        return errno == ESRCH;
    return zombie(pid);
}

bool cx_process_ended_on(const char *host, int64_t pid) {
    char here[64];
    cx_process_host(here, sizeof here);
    return strcmp(host, here) == 0 && cx_process_ended(pid);
}
