/* Errors of the library: a code and a message. Library code never prints and
 * never exits; it fills a cx_error and returns its code. Only cli/ prints. */
#ifndef CX_BASE_ERROR_H
#define CX_BASE_ERROR_H

/* code, exit status of the program, what it means */
#define CX_ERROR_TABLE(X)                                                                          \
    X(CX_OK, 0, "no error")                                                                        \
    X(CX_ENOMEM, 1, "out of memory")                                                               \
    X(CX_EIO, 1, "an input or output operation failed")                                            \
    X(CX_EMPI, 1, "an MPI call failed")                                                            \
    X(CX_ESTATE, 1, "the program is in a state that it should never reach")                        \
    X(CX_EUSAGE, 2, "wrong use of a command")                                                      \
    X(CX_ECONFIG, 2, "a fault in the configuration")                                               \
    X(CX_EDATA, 2, "a missing or faulty data file")                                                \
    X(CX_EFORMAT, 2, "a corrupt file or message of ours")                                          \
    X(CX_EVERSION, 2, "a file of another version")                                                 \
    X(CX_EUNSUPPORTED, 3, "something that is not implemented")                                     \
    X(CX_ELOST, 75, "workers died; all is saved, to be resumed")                                   \
    X(CX_ESTOPPED, 75, "stopped in good order, to be resumed")

typedef enum {
#define X(code, status, text) code,
    CX_ERROR_TABLE(X)
#undef X
        CX_ERROR_COUNT
} cx_code;

typedef struct {
    cx_code code;
    char message[1024];
} cx_error;

/* Fills *err (may be NULL) and returns code, so that a caller can write
 * `return cx_fail(err, CX_EDATA, "%s: ...", path);`. */
int cx_fail(cx_error *err, cx_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message of an error that is passed upward. */
int cx_fail_in(cx_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *cx_code_text(cx_code code);
int cx_code_exit_status(cx_code code);

#endif
