#include "cli/launch_news.h"

#include "base/file.h"
#include "base/process.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cx_launch_news_write(const char *path, const cx_launch_news *news) {
    char text[128 + 72 * CX_LAUNCH_HOSTS_MAX];
    int n =
        snprintf(text, sizeof text, "%d %lld %s\n", news->status, (long long)news->pid, news->host);
    for (int i = 0; i < news->n_lost; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "lost %s\n", news->lost[i]);
    (void)cx_file_replace(path, text, (size_t)n, NULL);
}

/* "WORD REST" of a line into `rest`; the next line. */
static const char *read_line(const char *at, const char *word, char *rest, size_t size) {
    size_t length = strcspn(at, "\n"), skip = strlen(word);
    rest[0] = 0;
    if (length > skip && strncmp(at, word, skip) == 0 && length - skip < size) {
        memcpy(rest, at + skip, length - skip);
        rest[length - skip] = 0;
    }
    return at[length] ? at + length + 1 : at + length;
}

void cx_launch_news_read(const char *path, cx_launch_news *news) {
    unsigned char *data;
    size_t size;
    memset(news, 0, sizeof *news);
    news->status = CX_LAUNCH_NOTHING;
    if (cx_file_read(path, 1u << 16, &data, &size, NULL) != CX_OK)
        return;
    char *text = calloc(size + 1, 1), first[128], host[64];
    if (text && size > 0) {
        memcpy(text, data, size);
        const char *at = read_line(text, "", first, sizeof first);
        char *end;
        news->status = (int)strtol(first, &end, 10);
        news->pid = strtoll(end, &end, 10);
        (void)snprintf(news->host, sizeof news->host, "%.63s", *end == ' ' ? end + 1 : "");
        while (*at) {
            at = read_line(at, "lost ", host, sizeof host);
            if (host[0])
                cx_launch_news_lost(news, host);
        }
    }
    free(text);
    free(data);
}

void cx_launch_news_lost(cx_launch_news *news, const char *host) {
    for (int i = 0; i < news->n_lost; i++)
        if (strcmp(news->lost[i], host) == 0)
            return;
    if (news->n_lost < CX_LAUNCH_HOSTS_MAX)
        (void)snprintf(news->lost[news->n_lost++], sizeof news->lost[0], "%.63s", host);
}

bool cx_launch_news_orphaned(const char *path) {
    cx_launch_news news;
    cx_launch_news_read(path, &news);
    if (news.status != CX_LAUNCH_STARTED || !cx_process_ended_on(news.host, news.pid))
        return false;
    cx_launch_news_read(path, &news); /* it may have ended in good order between the two */
    return news.status == CX_LAUNCH_STARTED;
}
