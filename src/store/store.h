/* Files that a run leaves behind or reads. */
#ifndef CX_STORE_STORE_H
#define CX_STORE_STORE_H

#include "base/error.h"
#include "base/slice.h"
#include "data/cache.h"
#include "policy/network.h"
#include "policy/reward.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- policy files: safetensors (JSON header, then raw little-endian float32) ---
 * Tensors of the network by name under "policy.", the normalization under
 * "policy.input_mean", "policy.input_variance", "policy.input_correction". The
 * metadata carries format "coxswain-policy", CX_SEMANTICS_VERSION, the network's
 * shape, a hash of the data (checked where present), and the resolved configuration
 * (YAML) the policy was trained with, from which a reader knows observations and
 * actions. Written atomically (CX_EIO: what stood at `path` is whole); numbers that
 * are not finite are refused on writing (CX_ESTATE) and on reading (CX_EFORMAT). */
int cx_policy_write(const char *path, const cx_net *net, const float *block,
                    const char *config_yaml, uint64_t version, cx_error *err);
/* *block is the caller's (free()), cx_net_count floats aligned to CX_ALIGN, zeros in
 * the padding; *config_yaml too. `version` may be NULL. Refuses other formats
 * (CX_EFORMAT), truncated files, other semantics versions (CX_EVERSION), shapes
 * that do not fit `net`. With net NULL the file itself is checked and *block is NULL. */
int cx_policy_read_config(const char *path, char **config_yaml, uint64_t *version, cx_error *err);
int cx_policy_read(const char *path, const cx_net *net, float **block, cx_error *err);

/* --- checkpoints: DIR/NNNNNNNN/, one file per part, DONE last ---
 * A part is bytes with a name (lower-case letters, digits, _ - .; not "DONE"). Each
 * file is: magic "CXCP", version, size, hash, data. DONE lists the parts and their
 * hashes. All is written to DIR/NNNNNNNN.tmp/, DONE last, each file fsynced, and the
 * folder then renamed: at no moment does a kill leave a half checkpoint under its
 * number. On CX_EIO (a full disk) the remains are removed and older checkpoints are
 * as they were. DIR is made where it is missing. */
typedef struct {
    const char *name;
    const void *data;
    size_t size;
} cx_part;
int cx_checkpoint_write(const char *dir, uint64_t number, const cx_part *parts, int n_parts,
                        cx_error *err);
/* Keeps the newest `keep` whole checkpoints and every one whose number is a multiple
 * of 10 * `step` (step 0: none); removes other ones and unfinished remains. Whole here
 * means DONE and the parts' sizes; the hashes are read by cx_checkpoint_newest. */
int cx_checkpoint_prune(const char *dir, int keep, uint64_t step, cx_error *err);
/* Number of the newest checkpoint that is whole and whose hashes agree; those that
 * are not are named in `notes` (may be NULL), one a line. *found false when there is
 * none. CX_EVERSION when a newer one was written by another version of the program. */
int cx_checkpoint_newest(const char *dir, uint64_t *number, bool *found, char *notes,
                         size_t notes_size, cx_error *err);
/* A part of a checkpoint, checked; *data malloc'ed. CX_EFORMAT when the checkpoint or
 * the part is corrupt or not there. */
int cx_checkpoint_read(const char *dir, uint64_t number, const char *name, void **data,
                       size_t *size, cx_error *err);

/* --- state files: all that one long computation needs to go on, in one file: a header
 * (magic "CXST", version, sizes, hash), a text that says whose state it is ("name value"
 * lines), and the bytes. Written atomically, from where they lie. */
enum { CX_STATE_PIECES_MAX = 14 };
int cx_state_file_write(const char *path, const char *identity, const cx_slice *pieces, int n,
                        cx_error *err);
typedef struct {
    bool found;                             /* false: there is no such file */
    const void *piece[CX_STATE_PIECES_MAX]; /* of the file, mapped, at any alignment */
    cx_mapped file;
} cx_state_file;
/* CX_EFORMAT: damaged, or pieces of other sizes; CX_EVERSION; CX_ECONFIG: the state of
 * something else, with the first line that differs. */
int cx_state_file_open(const char *path, const char *identity, const size_t *sizes, int n,
                       cx_state_file *out, cx_error *err);
void cx_state_file_close(cx_state_file *file);

/* --- append-only files of JSON lines --- */
typedef struct cx_lines cx_lines;
/* Makes the file where it is missing; a torn last line (no newline) is cut off. */
int cx_lines_open(const char *path, cx_lines **out, cx_error *err);
/* Appends text (without a newline in it) and a newline; one write call. On CX_EIO
 * the file is cut back to what it was. */
int cx_lines_append(cx_lines *l, const char *text, cx_error *err);
int cx_lines_sync(cx_lines *l, cx_error *err);
uint64_t cx_lines_size(const cx_lines *l); /* bytes so far */
void cx_lines_close(cx_lines *l);

/* --- the baseline cache: FOLDER/baselines.bin, append-only records
 * (magic, record size, hash of the record, cx_baseline) in a hash table. A torn
 * last record is cut off; corrupt ones are skipped. Records of another size (another
 * version) are ignored. Several processes may read and add at a time: additions are
 * made under a lock on the file. FOLDER is made where it is missing; where it cannot be
 * written the cache is read only. */
typedef struct cx_baseline_cache cx_baseline_cache;
int cx_baseline_cache_open(const char *folder, cx_baseline_cache **out, cx_error *err);
/* NULL: not there. Owned by the cache, valid until close. */
const cx_baseline *cx_baseline_cache_find(const cx_baseline_cache *c, uint64_t task_hash);
/* Also takes in what other processes have added. Not fsynced: a lost record is only
 * computed again. On CX_EIO the baseline is found in this process all the same. */
int cx_baseline_cache_add(cx_baseline_cache *c, const cx_baseline *b, cx_error *err);
size_t cx_baseline_cache_count(const cx_baseline_cache *c);   /* different tasks */
size_t cx_baseline_cache_skipped(const cx_baseline_cache *c); /* bytes that are no record of ours */
void cx_baseline_cache_close(cx_baseline_cache *c);

/* --- the run's lock: DIR/lock, an open file description lock, with text that says
 * who holds it. CX_EUSAGE with that text when another process has it. The kernel
 * drops it with the process, so a killed run leaves no lock behind. */
int cx_lock_take(const char *path, int *fd, cx_error *err);
void cx_lock_release(const char *path, int fd);
/* Whether somebody holds it, and the text (may be NULL). A missing file: not held. */
int cx_lock_query(const char *path, bool *held, char *text, size_t size, cx_error *err);

/* --- who made a folder ---
 * DIR/made.json, unless it is there: {"program": "coxswain VERSION", "command", "started" (UTC)},
 * for the report's page. command NULL: nothing is written. CX_EIO, CX_ENOMEM. */
int cx_made_write(const char *dir, const char *command, cx_error *err);

#endif
