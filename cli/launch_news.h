/* What rank 0 lets the launcher know, in a file that is replaced as a whole: whether it has
 * started, who died, how the run ended. */
#ifndef CX_CLI_LAUNCH_NEWS_H
#define CX_CLI_LAUNCH_NEWS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CX_LAUNCH_STARTED = -1,
    CX_LAUNCH_AGAIN = -2,  /* all is saved; the ranks are to be started again */
    CX_LAUNCH_NOTHING = -3 /* there is no such file yet */
};
enum { CX_LAUNCH_HOSTS_MAX = 64 };

typedef struct {
    int status; /* one of these, or the exit status (>= 0) */
    int64_t pid;
    char host[64]; /* pid and host: of rank 0 */
    int n_lost;    /* machines on which workers died or did not answer any more */
    char lost[CX_LAUNCH_HOSTS_MAX][64];
} cx_launch_news;

void cx_launch_news_write(const char *path, const cx_launch_news *news);
void cx_launch_news_read(const char *path, cx_launch_news *news);
/* Adds a machine's name, once. */
void cx_launch_news_lost(cx_launch_news *news, const char *host);
/* Rank 0 has died without a word; false, too, where that cannot be seen from here. */
bool cx_launch_news_orphaned(const char *path);

#endif
