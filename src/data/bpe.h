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
 * everywhere (letters, digits and spaces are what PCRE2's Unicode tables say). Fewer come
 * out where the text has no further pair that occurs twice. */
int cx_bpe_learn(const unsigned char *text, size_t size, int entries, cx_bpe **out, cx_error *err);

/* The same from several texts, in memory that grows with the number of different pieces,
 * not with the text. Pieces do not reach from one text into the next. */
typedef struct cx_bpe_learner cx_bpe_learner;
int cx_bpe_learner_create(cx_bpe_learner **out, cx_error *err);
int cx_bpe_learner_add(cx_bpe_learner *l, const unsigned char *text, size_t size, cx_error *err);
int cx_bpe_learner_finish(const cx_bpe_learner *l, int entries, cx_bpe **out, cx_error *err);
void cx_bpe_learner_free(cx_bpe_learner *l);

/* A file of cx_bpe_write, or a folder with GPT-2's vocab.json (or encoder.json) and
 * merges.txt (or vocab.bpe). CX_EDATA with file, line and what would be right. Entries of
 * vocab.json that no merge makes ("<|endoftext|>") stand for the bytes of their names; no
 * text is encoded to them. */
int cx_bpe_read(const char *path, cx_bpe **out, cx_error *err);
/* A line of magic and number of entries, then a merge per line: two token numbers. Replaces
 * the file atomically. CX_EUNSUPPORTED: GPT-2's numbers, which this format does not hold. */
int cx_bpe_write(const cx_bpe *bpe, const char *path, cx_error *err);
void cx_bpe_free(cx_bpe *bpe);

int cx_bpe_entries(const cx_bpe *bpe);
uint64_t cx_bpe_hash(const cx_bpe *bpe); /* of all merges and numbers */
/* The bytes that a token stands for; NULL: no such token. Owned by bpe. */
const unsigned char *cx_bpe_bytes(const cx_bpe *bpe, int token, size_t *size);

/* Tokens of text to *tokens (owned by the caller, free(); NULL: none), *n of them.
 * Reentrant. */
int cx_bpe_encode(const cx_bpe *bpe, const unsigned char *text, size_t size, uint16_t **tokens,
                  size_t *n, cx_error *err);
/* Bytes of tokens to *text (owned by the caller, free(); a zero byte follows). CX_EDATA: a
 * token that there is not. */
int cx_bpe_decode(const cx_bpe *bpe, const uint16_t *tokens, size_t n, unsigned char **text,
                  size_t *size, cx_error *err);

/* The first place at or after `want` (at least 1) where text may be cut: the tokens of the
 * two sides, one after the other, are those of the whole. `size` where there is none. It is
 * the same for every vocabulary: before a space or line end that follows anything else. */
size_t cx_bpe_chunk(const unsigned char *text, size_t size, size_t want);

#endif
