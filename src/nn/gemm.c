/* Matrix products from register tiles, after Goto and van de Geijn (2008) but for
 * operands that fit the second-level cache: only b is packed, into panels of one tile's
 * width. */
#include "nn/gemm.h"
#include "nn/ops.h"

#include <string.h>

enum {
    LANES = CX_VEC_BYTES / sizeof(cx_real),
    ROWS = CX_TILE_ROWS,
    COLS = CX_TILE_VECTORS * LANES,
    DEPTH = 256,        /* rows of one packed panel: it stays in the first-level cache */
    HEIGHT = 512,       /* rows of a that are gone over before b is packed again */
    HEIGHT_PACKED = 256 /* the same where a, too, is packed */
};

#define INLINE static inline __attribute__((always_inline))

INLINE void store_part(cx_real *c, cx_vec v, int n, bool add) {
    cx_real x[LANES];
    memcpy(x, &v, sizeof v);
    for (int i = 0; i < n; i++)
        c[i] = add ? c[i] + x[i] : x[i];
}

/* With rows and vectors known to the compiler everything is unrolled into registers. */
INLINE void tile(const int rows, const int vectors, const bool indexed, int cols, int k,
                 const cx_real *a, ptrdiff_t a_row, ptrdiff_t a_col, const cx_real *b,
                 ptrdiff_t b_row, const ptrdiff_t *offset, cx_real *c, ptrdiff_t c_row, bool add) {
    cx_vec acc[ROWS][CX_TILE_VECTORS];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            acc[i][v] = (cx_vec){0};
    for (int p = 0; p < k; p++) {
        const cx_real *row = indexed ? b + offset[p] : b + p * b_row;
        cx_vec bv[CX_TILE_VECTORS];
        for (int v = 0; v < vectors; v++)
            bv[v] = cx_vload(row + v * LANES);
        for (int i = 0; i < rows; i++) {
            cx_vec av = cx_vset(a[i * a_row + p * a_col]);
            for (int v = 0; v < vectors; v++)
                acc[i][v] = CX_VFMA(av, bv[v], acc[i][v]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++) {
            cx_real *to = c + i * c_row + v * LANES;
            int n = cols - v * LANES;
            if (n >= LANES)
                cx_vstore(to, add ? cx_vload(to) + acc[i][v] : acc[i][v]);
            else
                store_part(to, acc[i][v], n, add);
        }
}

/* one function for each number of rows and vectors */
#define KERNEL(R, V)                                                                               \
    static __attribute__((noinline)) void tile_##R##_##V(                                          \
        int cols, int k, const cx_real *a, ptrdiff_t ar, ptrdiff_t ac, const cx_real *b,           \
        ptrdiff_t br, cx_real *c, ptrdiff_t cr, bool add) {                                        \
        tile(R, V, false, cols, k, a, ar, ac, b, br, NULL, c, cr, add);                            \
    }                                                                                              \
    static __attribute__((noinline)) void indexed_##R##_##V(                                       \
        int cols, int k, const cx_real *a, ptrdiff_t ar, ptrdiff_t ac, const cx_real *b,           \
        const ptrdiff_t *offset, cx_real *c, ptrdiff_t cr, bool add) {                             \
        tile(R, V, true, cols, k, a, ar, ac, b, 0, offset, c, cr, add);                            \
    }
#define KERNELS(R) KERNEL(R, 1) KERNEL(R, 2)
KERNELS(1)
KERNELS(2)
KERNELS(3)
KERNELS(4)
#if CX_VEC_BYTES == 64
KERNELS(5)
KERNELS(6)
KERNELS(7)
KERNELS(8)
#define EACH(f) f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8)
#else
#define EACH(f) f(1), f(2), f(3), f(4)
#endif
#define PLAIN(R)                                                                                   \
    { tile_##R##_1, tile_##R##_2 }
#define INDEXED(R)                                                                                 \
    { indexed_##R##_1, indexed_##R##_2 }

typedef void tile_function(int, int, const cx_real *, ptrdiff_t, ptrdiff_t, const cx_real *,
                           ptrdiff_t, cx_real *, ptrdiff_t, bool);
typedef void indexed_function(int, int, const cx_real *, ptrdiff_t, ptrdiff_t, const cx_real *,
                              const ptrdiff_t *, cx_real *, ptrdiff_t, bool);
static tile_function *const tiles[ROWS][CX_TILE_VECTORS] = {EACH(PLAIN)};
static indexed_function *const indexed_tiles[ROWS][CX_TILE_VECTORS] = {EACH(INDEXED)};

void cx_tile(int rows, int cols, int k, const cx_real *a, ptrdiff_t a_row, ptrdiff_t a_col,
             const cx_real *b, ptrdiff_t b_row, cx_real *c, ptrdiff_t c_row, bool add) {
    tiles[rows - 1][cols > LANES](cols, k, a, a_row, a_col, b, b_row, c, c_row, add);
}

void cx_tile_indexed(int rows, int cols, int k, const cx_real *a, ptrdiff_t a_row, ptrdiff_t a_col,
                     const cx_real *b, const ptrdiff_t *offset, cx_real *c, ptrdiff_t c_row,
                     bool add) {
    indexed_tiles[rows - 1][cols > LANES](cols, k, a, a_row, a_col, b, offset, c, c_row, add);
}

INLINE void dot_tile(const int R, const cx_real *const *a, const cx_real *const b[4], int n,
                     int segments, ptrdiff_t a_segment, ptrdiff_t b_segment, int rows, int cols,
                     cx_real *c, ptrdiff_t c_row, bool add) {
    cx_vec acc[4][4];
    for (int i = 0; i < R; i++)
        for (int j = 0; j < 4; j++)
            acc[i][j] = (cx_vec){0};
    for (int s = 0; s < segments; s++) {
        ptrdiff_t as = s * a_segment, bs = s * b_segment;
        for (int p = 0; p + LANES <= n; p += LANES) {
            cx_vec av[4];
            for (int i = 0; i < R; i++)
                av[i] = cx_vload(a[i] + as + p);
            for (int j = 0; j < 4; j++) {
                cx_vec bv = cx_vload(b[j] + bs + p);
                for (int i = 0; i < R; i++)
                    acc[i][j] = CX_VFMA(av[i], bv, acc[i][j]);
            }
        }
    }
    for (int i = 0; i < R && i < rows; i++)
        for (int j = 0; j < 4 && j < cols; j++) {
            cx_real sum = cx_vsum(acc[i][j]);
            for (int p = n / LANES * LANES; p < n; p++)
                sum += a[i][p] * b[j][p];
            c[i * c_row + j] = add ? c[i * c_row + j] + sum : sum;
        }
}

void cx_dot_tile(const cx_real *const a[4], const cx_real *const b[4], int n, int segments,
                 ptrdiff_t a_segment, ptrdiff_t b_segment, int rows, int cols, cx_real *c,
                 ptrdiff_t c_row, bool add) {
    if (rows == 1)
        dot_tile(1, a, b, n, segments, a_segment, b_segment, 1, cols, c, c_row, add);
    else if (rows == 2)
        dot_tile(2, a, b, n, segments, a_segment, b_segment, 2, cols, c, c_row, add);
    else
        dot_tile(4, a, b, n, segments, a_segment, b_segment, rows, cols, c, c_row, add);
}

/* --- packing --- */

/* panel[k][width] = b[k][0..cols), zeros beyond cols */
static void pack_rows(cx_real *panel, const cx_real *b, int ldb, int k, int cols, int width) {
    for (int p = 0; p < k; p++, panel += width, b += ldb) {
        if (cols == COLS && width == COLS) {
            memcpy(panel, b, COLS * sizeof *panel);
            continue;
        }
        for (int j = 0; j < cols; j++)
            panel[j] = b[j];
        for (int j = cols; j < width; j++)
            panel[j] = 0;
    }
}

#if CX_VEC_BYTES == 64
#ifdef CX_REAL_DOUBLE
typedef long long lane_index __attribute__((vector_size(CX_VEC_BYTES)));
#else
typedef int lane_index __attribute__((vector_size(CX_VEC_BYTES)));
#endif

/* Transposes LANES x LANES in registers: at distance d the blocks off the diagonal are
 * exchanged, for d = 1, 2, 4, ... */
INLINE void transpose(cx_vec r[LANES]) {
#pragma GCC unroll 4
    for (int d = 1; d < LANES; d *= 2) {
        lane_index low, high;
        for (int l = 0; l < LANES; l++) {
            low[l] = l & d ? LANES + l - d : l;
            high[l] = l & d ? LANES + l : l + d;
        }
        for (int i = 0; i < LANES; i++) {
            if (i & d)
                continue;
            cx_vec x = r[i], y = r[i + d];
            r[i] = __builtin_shuffle(x, y, low);
            r[i + d] = __builtin_shuffle(x, y, high);
        }
    }
}

/* panel[k][at..at+LANES) from LANES rows of b^T; returns how many of the k are done */
static int pack_block(cx_real *panel, const cx_real *b, int ldb, int k, int width) {
    int p = 0;
    for (; p + LANES <= k; p += LANES) {
        cx_vec r[LANES];
        for (int j = 0; j < LANES; j++)
            r[j] = cx_vload(b + (ptrdiff_t)j * ldb + p);
        transpose(r);
        for (int j = 0; j < LANES; j++)
            cx_vstore(panel + (ptrdiff_t)(p + j) * width, r[j]);
    }
    return p;
}
#else
static int pack_block(cx_real *panel, const cx_real *b, int ldb, int k, int width) {
    (void)panel, (void)b, (void)ldb, (void)k, (void)width;
    return 0;
}
#endif

/* panel[k][width] = the columns of b[cols][k], zeros beyond cols */
static void pack_columns(cx_real *panel, const cx_real *b, int ldb, int k, int cols, int width) {
    int j = 0;
    for (; j + LANES <= cols; j += LANES) {
        const cx_real *from = b + (ptrdiff_t)j * ldb;
        for (int p = pack_block(panel + j, from, ldb, k, width); p < k; p++)
            for (int l = 0; l < LANES; l++)
                panel[(ptrdiff_t)p * width + j + l] = from[(ptrdiff_t)l * ldb + p];
    }
    for (int p = 0; p < k && j < width; p++)
        for (int l = j; l < width; l++)
            panel[(ptrdiff_t)p * width + l] = l < cols ? b[(ptrdiff_t)l * ldb + p] : 0;
}

/* block[strip][k][ROWS] = the columns of a[k][0..m), zeros beyond m */
static void pack_strips(cx_real *block, const cx_real *a, int lda, int k, int m) {
    int i = 0;
    /* two at a time: rows are often pages apart, and a line of the cache holds two strips' part */
    for (; i + 2 * ROWS <= m; i += 2 * ROWS, block += (ptrdiff_t)2 * ROWS * k) {
        const cx_real *from = a + i;
        cx_real *second = block + (ptrdiff_t)ROWS * k;
        for (int p = 0; p < k; p++, from += lda) {
            memcpy(block + (ptrdiff_t)p * ROWS, from, ROWS * sizeof *block);
            memcpy(second + (ptrdiff_t)p * ROWS, from + ROWS, ROWS * sizeof *block);
        }
    }
    for (; i < m; i += ROWS) {
        int rows = m - i < ROWS ? m - i : ROWS;
        const cx_real *from = a + i;
        for (int p = 0; p < k; p++, from += lda, block += ROWS)
            for (int r = 0; r < ROWS; r++)
                block[r] = r < rows ? from[r] : 0;
    }
}

/* --- products ---
 * Goto and van de Geijn's loops: blocks of k, of rows, panels of columns, tiles. */

/* few rows times b^T: rows of both run along k, nothing is packed */
static void few_rows(int m, int n, int k, const cx_real *a, int lda, const cx_real *b, int ldb,
                     bool add, cx_real *c, int ldc) {
    for (int j = 0; j < n; j += 4) {
        const cx_real *ar[4], *br[4];
        for (int i = 0; i < 4; i++) {
            ar[i] = a + (ptrdiff_t)(i < m ? i : 0) * lda;
            br[i] = b + (ptrdiff_t)(j + i < n ? j + i : j) * ldb;
        }
        cx_dot_tile(ar, br, k, 1, 0, 0, m, n - j < 4 ? n - j : 4, c + j, ldc, add);
    }
}

/* a^T b of few columns: the transposed product fills the vectors */
static void few_columns(int m, int n, int k, const cx_real *a, int lda, const cx_real *b, int ldb,
                        bool add, cx_real *c, int ldc) {
    cx_real part[ROWS * COLS];
    for (int i = 0; i < m; i += COLS) {
        int cols = m - i < COLS ? m - i : COLS, whole = cols > LANES ? COLS : LANES;
        if (cols < whole) { /* whole vectors of a are not there */
            for (int r = 0; r < cols; r++)
                for (int j = 0; j < n; j++) {
                    cx_real sum = 0;
                    for (int p = 0; p < k; p++)
                        sum += a[(ptrdiff_t)p * lda + i + r] * b[(ptrdiff_t)p * ldb + j];
                    part[j * COLS + r] = sum;
                }
        } else {
            cx_tile(n, cols, k, b, 1, ldb, a + i, lda, part, COLS, false);
        }
        for (int r = 0; r < cols; r++)
            for (int j = 0; j < n; j++) {
                cx_real *to = c + (ptrdiff_t)(i + r) * ldc + j;
                *to = (add ? *to : 0) + part[j * COLS + r];
            }
    }
}

/* rows of c from one panel; strip: from ROWS rows of a to the next */
static void panel_product(int m, int cols, int depth, const cx_real *a, ptrdiff_t a_row,
                          ptrdiff_t a_col, ptrdiff_t strip, const cx_real *panel, ptrdiff_t width,
                          cx_real *c, int ldc, bool add) {
    tile_function *const whole = tiles[ROWS - 1][cols > LANES];
    int i = 0;
    for (; i + ROWS <= m; i += ROWS, a += strip, c += (ptrdiff_t)ROWS * ldc)
        whole(cols, depth, a, a_row, a_col, panel, width, c, ldc, add);
    if (i < m)
        tiles[m - i - 1][cols > LANES](cols, depth, a, a_row, a_col, panel, width, c, ldc, add);
}

static int least(int a, int b) {
    return a < b ? a : b;
}

void cx_gemm(bool ta, bool tb, int m, int n, int k, const cx_real *a, int lda, const cx_real *b,
             int ldb, bool add, cx_real *c, int ldc) {
#ifdef CX_PLAIN
    cx_gemm_plain(ta, tb, m, n, k, a, lda, b, ldb, add, c, ldc);
    return;
#endif
    if (!ta && tb && m <= 4) {
        few_rows(m, n, k, a, lda, b, ldb, add, c, ldc);
        return;
    }
    if (ta && !tb && n <= 4 && n <= ROWS) {
        few_columns(m, n, k, a, lda, b, ldb, add, c, ldc);
        return;
    }
    _Alignas(64) cx_real panel[DEPTH * COLS], block[HEIGHT_PACKED * DEPTH];
    /* with several panels the strided reads of a^T cost more than a copy */
    bool strips = ta && n > 4 * COLS;
    ptrdiff_t a_row = ta ? 1 : lda, a_col = ta ? lda : 1;
    int height = strips ? HEIGHT_PACKED : HEIGHT;
    for (int k0 = 0; k0 < k; k0 += DEPTH) {
        int depth = least(k - k0, DEPTH);
        for (int i0 = 0; i0 < m; i0 += height) {
            int rows = least(m - i0, height);
            const cx_real *part = a + i0 * a_row + k0 * a_col;
            if (strips)
                pack_strips(block, part, lda, depth, rows);
            for (int j = 0; j < n; j += COLS) {
                int cols = least(n - j, COLS), width = cols > LANES ? COLS : LANES;
                const cx_real *from = panel;
                int stride = width;
                if (tb)
                    pack_columns(panel, b + (ptrdiff_t)j * ldb + k0, ldb, depth, cols, width);
                else if (cols < width || rows > ROWS)
                    pack_rows(panel, b + (ptrdiff_t)k0 * ldb + j, ldb, depth, cols, width);
                else
                    from = b + (ptrdiff_t)k0 * ldb + j, stride = ldb;
                cx_real *to = c + (ptrdiff_t)i0 * ldc + j;
                if (strips)
                    panel_product(rows, cols, depth, block, 1, ROWS, (ptrdiff_t)ROWS * depth, from,
                                  stride, to, ldc, add || k0 > 0);
                else
                    panel_product(rows, cols, depth, part, a_row, a_col, ROWS * a_row, from, stride,
                                  to, ldc, add || k0 > 0);
            }
        }
    }
}

/* --- the same matrix b in many products --- */

/* columns of all panels */
static int packed_width(int n) {
    return (n + LANES - 1) / LANES * LANES;
}

size_t cx_packed_size(int n, int k) {
    return (size_t)packed_width(n) * (size_t)k;
}

void cx_pack(bool tb, int n, int k, const cx_real *b, int ldb, cx_real *packed) {
    for (int k0 = 0; k0 < k; k0 += DEPTH) {
        int depth = least(k - k0, DEPTH);
        for (int j = 0; j < n; j += COLS) {
            int cols = least(n - j, COLS), width = cols > LANES ? COLS : LANES;
            if (tb)
                pack_columns(packed, b + (ptrdiff_t)j * ldb + k0, ldb, depth, cols, width);
            else
                pack_rows(packed, b + (ptrdiff_t)k0 * ldb + j, ldb, depth, cols, width);
            packed += (ptrdiff_t)depth * width;
        }
    }
}

void cx_gemm_packed(int m, int n, int k, const cx_real *a, int lda, const cx_real *packed, bool add,
                    cx_real *c, int ldc) {
    for (int i0 = 0; i0 < m; i0 += HEIGHT) {
        const cx_real *panel = packed;
        int rows = least(m - i0, HEIGHT);
        for (int k0 = 0; k0 < k; k0 += DEPTH) {
            int depth = least(k - k0, DEPTH);
            for (int j = 0; j < n; j += COLS) {
                int cols = least(n - j, COLS), width = cols > LANES ? COLS : LANES;
                panel_product(rows, cols, depth, a + (ptrdiff_t)i0 * lda + k0, lda, 1,
                              (ptrdiff_t)ROWS * lda, panel, width, c + (ptrdiff_t)i0 * ldc + j, ldc,
                              add || k0 > 0);
                panel += (ptrdiff_t)depth * width;
            }
        }
    }
}
