/* Messages for people, on stderr. The level is the one global of the program. */
#ifndef CX_BASE_LOG_H
#define CX_BASE_LOG_H

typedef enum { CX_LOG_ERROR, CX_LOG_WARNING, CX_LOG_INFO, CX_LOG_DEBUG } cx_log_level;

void cx_log_set_level(cx_log_level level);
void cx_log(cx_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
