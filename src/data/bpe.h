/* Byte-level byte-pair encoding (Sennrich et al., 2016; GPT-2's variant: Radford et al.,
 * 2019). Text is first cut into pieces (GPT-2's pattern: a space goes with the word after
 * it; merges never cross a piece), then each piece's bytes are merged by rank. Any bytes,
 * valid UTF-8 or not, come back exactly.
 *
 * Token numbers of a learned vocabulary: 0 .. 255 are the bytes themselves, 256 + i the
 * result of merge i. A vocabulary of 256 is the bytes alone. GPT-2's files have numbers of
 * their own. */
#ifndef CX_DATA_BPE_H
#define CX_DATA_BPE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define CX_BPE_MAX 65536 /* entries: a token fits into 16 bits */

typedef struct cx_bpe cx_bpe;

/* Learns `entries` (256 .. CX_BPE_MAX) from text: the most frequent pair is merged, of
 * equals that with the lower numbers, so that the same text gives the same vocabulary
 * everywhere. Fewer come out where the text has no further pair that occurs twice. */
int cx_bpe_learn(const unsigned char *text, size_t size, int entries, cx_bpe **out, cx_error *err);
/* A file of cx_bpe_write, or a folder with GPT-2's vocab.json (or encoder.json) and
 * merges.txt (or vocab.bpe). CX_EDATA with file, line and what would be right. */
int cx_bpe_read(const char *path, cx_bpe **out, cx_error *err);
/* A line of magic and number of entries, then a merge per line: two token numbers. */
int cx_bpe_write(const cx_bpe *bpe, const char *path, cx_error *err);
void cx_bpe_free(cx_bpe *bpe);

int cx_bpe_entries(const cx_bpe *bpe);
uint64_t cx_bpe_hash(const cx_bpe *bpe); /* of all merges and numbers */
/* The bytes that a token stands for; NULL: no such token. Owned by bpe. */
const unsigned char *cx_bpe_bytes(const cx_bpe *bpe, int token, size_t *size);

/* Tokens of text to *tokens (owned by the caller, free()), *n of them. Reentrant. */
int cx_bpe_encode(const cx_bpe *bpe, const unsigned char *text, size_t size, uint16_t **tokens,
                  size_t *n, cx_error *err);
/* Bytes of tokens to *text (owned by the caller, free(); a zero byte follows). CX_EDATA: a
 * token that there is not. */
int cx_bpe_decode(const cx_bpe *bpe, const uint16_t *tokens, size_t n, unsigned char **text,
                  size_t *size, cx_error *err);

#endif
