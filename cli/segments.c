#include "cli/segments.h"

#include "base/file.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SEGMENTS_MAX = 1024, PATH_ROOM = 600, YOUNG = 60 /* seconds */ };

typedef struct {
    int n;
    char path[SEGMENTS_MAX][PATH_ROOM];
    bool mapped[SEGMENTS_MAX];
} segments;

static void find(segments *s, const char *dir) {
    char host[256] = "", prefix[320];
    DIR *d = opendir(dir);
    if (!d)
        return;
    (void)gethostname(host, sizeof host - 1);
    host[strcspn(host, ".")] = 0;
    int length = snprintf(prefix, sizeof prefix, "vader_segment.%s.", host);
    time_t now = time(NULL);
    for (struct dirent *e; s->n < SEGMENTS_MAX && (e = readdir(d)) != NULL;) {
        struct stat st;
        char *path = s->path[s->n];
        if (strncmp(e->d_name, prefix, (size_t)length) == 0 &&
            cx_path(path, PATH_ROOM, NULL, "%s/%s", dir, e->d_name) == 0 && lstat(path, &st) == 0 &&
            S_ISREG(st.st_mode) && st.st_uid == geteuid() && now - st.st_mtime > YOUNG)
            s->n++;
    }
    (void)closedir(d);
}

/* False when it could not be found out. What we may not look at at all, though it is ours,
 * has special rights or guards its memory: no rank. */
static bool mark_mapped_by(segments *s, const char *pid) {
    char path[PATH_ROOM], line[4096];
    struct stat st;
    if (cx_path(path, sizeof path, NULL, "/proc/%s/maps", pid) != 0)
        return false;
    if (stat(path, &st) != 0 || st.st_uid != geteuid())
        return true; /* gone, or another user's, who cannot map our files */
    FILE *f = fopen(path, "r");
    if (!f)
        return errno == EACCES || errno == EPERM || access(path, F_OK) != 0;
    while (fgets(line, sizeof line, f))
        for (int i = 0; i < s->n; i++)
            s->mapped[i] |= strstr(line, s->path[i]) != NULL;
    bool good = !ferror(f);
    (void)fclose(f);
    return good || access(path, F_OK) != 0;
}

int cx_segments_clean(const char *dir) {
    int removed = 0;
    segments *s = calloc(1, sizeof *s);
    DIR *d = opendir("/proc");
    if (s)
        find(s, dir);
    bool good = s && d;
    if (good && s->n > 0)
        for (struct dirent *e; good && (e = readdir(d)) != NULL;)
            if (isdigit((unsigned char)e->d_name[0]))
                good = mark_mapped_by(s, e->d_name);
    for (int i = 0; good && i < s->n; i++)
        removed += !s->mapped[i] && unlink(s->path[i]) == 0;
    if (d)
        (void)closedir(d);
    free(s);
    return removed;
}
