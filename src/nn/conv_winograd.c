/* 3x3 convolution at stride 1 by Winograd's minimal filtering (Lavin and Gray,
 * arXiv 1509.09308), F(4x4, 3x3): a tile of 4x4 results costs 6x6 products for each pair of
 * channels instead of 144, between transforms of single channels. With an image in each
 * lane, for every tile t, channel c and output channel o:
 *
 *   V[c] = B' x[c] B          x: the 6x6 inputs of the tile
 *   U[o][c] = G w[o][c] G'
 *   M[o] = sum over c of U[o][c] * V[c], element by element: 36 matrix products
 *   y[o] = A' M[o] A
 *
 * The gradient of x is the same of dy with the turned kernel. The matrices are those of
 * the points 0, +-P, +-Q and infinity; with P Q = 1 they lose less to rounding than with
 * the usual 1 and 2. */
#include "nn/conv_lanes.h"

enum { LANES = CX_VEC_BYTES / sizeof(cx_real) };
enum {
    IN = 6,  /* a side of a tile: of inputs and products, */
    OUT = 4, /* of results */
    ALL = IN * IN,
    STRIPS = 5 << 18, /* bytes of images worked on at a time: long runs of memory, */
    TILES = 5 << 17,  /* and of tiles: both stay in the second-level cache */
    /* pairs of channels: below, the transforms cost more than they save; above, U, which is
     * four times the weights, becomes large */
    PAIRS_LEAST = 256,
    PAIRS_MOST = 1 << 16,
    POSITIONS_LEAST = 16 /* smaller images would fill their tile badly */
};

#define P ((cx_real)0.70710678118654752)
#define Q ((cx_real)1.41421356237309505)
/* squares and their product and sum */
#define P2 ((cx_real)0.5)
#define Q2 ((cx_real)2)
#define PQ2 ((cx_real)1)
#define SUM2 ((cx_real)2.5)
#define P3 ((cx_real)0.35355339059327376)
#define Q3 ((cx_real)2.82842712474619010)

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 6")

/* --- transforms of one dimension --- */

/* B' d: row p is the polynomial with the zeros of all other points */
INLINE void to_points(const cx_vec d[IN], cx_vec t[IN]) {
    const cx_vec sum2 = cx_vset(-SUM2), q2 = cx_vset(-Q2), p2 = cx_vset(-P2);
    cx_vec even = CX_VFMA(q2, d[2], d[4]), odd = cx_vset(P) * CX_VFMA(q2, d[1], d[3]);
    t[0] = CX_VFMA(sum2, d[2], cx_vset(PQ2) * d[0] + d[4]);
    t[1] = even + odd;
    t[2] = even - odd;
    even = CX_VFMA(p2, d[2], d[4]);
    odd = cx_vset(Q) * CX_VFMA(p2, d[1], d[3]);
    t[3] = even + odd;
    t[4] = even - odd;
    t[5] = CX_VFMA(sum2, d[3], cx_vset(PQ2) * d[1] + d[5]);
}

/* A' m: the values at the points back to four results */
INLINE void to_results(const cx_vec m[IN], cx_vec y[OUT]) {
    cx_vec ps = m[1] + m[2], pd = m[1] - m[2], qs = m[3] + m[4], qd = m[3] - m[4];
    y[0] = m[0] + (ps + qs);
    y[1] = CX_VFMA(cx_vset(P), pd, cx_vset(Q) * qd);
    y[2] = CX_VFMA(cx_vset(P2), ps, cx_vset(Q2) * qs);
    y[3] = CX_VFMA(cx_vset(P3), pd, CX_VFMA(cx_vset(Q3), qd, m[5]));
}

/* G w: the kernel's polynomial at the points, each over its N = product of distances */
INLINE void kernel_to_points(const cx_vec w[3], cx_vec u[IN]) {
    const cx_real np = 1 / (2 * P2 * (P2 - Q2)), nq = 1 / (2 * Q2 * (Q2 - P2));
    cx_vec even = cx_vset(np) * CX_VFMA(cx_vset(P2), w[2], w[0]), odd = cx_vset(np * P) * w[1];
    u[0] = cx_vset(1 / PQ2) * w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    even = cx_vset(nq) * CX_VFMA(cx_vset(Q2), w[2], w[0]);
    odd = cx_vset(nq * Q) * w[1];
    u[3] = even + odd;
    u[4] = even - odd;
    u[5] = w[2];
}

/* --- of tiles --- */

/* v[36 at `step`] from the 6x6 inputs at x, rows at `line` */
static void transform_inputs(const cx_real *x, ptrdiff_t line, cx_real *v, ptrdiff_t step) {
    cx_vec half[IN][IN], d[IN], t[IN];
    UNROLL for (int j = 0; j < IN; j++) {
        UNROLL for (int i = 0; i < IN; i++) d[i] = cx_vload(x + i * line + j * LANES);
        to_points(d, t);
        UNROLL for (int i = 0; i < IN; i++) half[i][j] = t[i];
    }
    UNROLL for (int i = 0; i < IN; i++) {
        to_points(half[i], t);
        UNROLL for (int j = 0; j < IN; j++) cx_vstore(v + (i * IN + j) * step, t[j]);
    }
}

/* y[rows][cols] (rows at `line`) = b + A' m A */
static void transform_results(const cx_real *m, ptrdiff_t step, cx_real b, cx_real *y,
                              ptrdiff_t line, int rows, int cols) {
    cx_vec half[OUT][IN], d[IN], t[OUT], bias = cx_vset(b);
    UNROLL for (int j = 0; j < IN; j++) {
        UNROLL for (int i = 0; i < IN; i++) d[i] = cx_vload(m + (i * IN + j) * step);
        to_results(d, t);
        UNROLL for (int i = 0; i < OUT; i++) half[i][j] = t[i];
    }
    UNROLL for (int i = 0; i < OUT; i++) {
        if (i >= rows)
            break;
        to_results(half[i], t);
        UNROLL for (int j = 0; j < OUT; j++) if (j < cols)
            cx_vstore(y + i * line + j * LANES, t[j] + bias);
    }
}

/* u[36][pairs] from w[9][pairs]; pairs a multiple of LANES */
static void transform_kernels(const cx_real *w, size_t pairs, cx_real *u) {
    for (size_t at = 0; at < pairs; at += LANES) {
        cx_vec half[IN][3], d[3], t[IN];
        UNROLL for (int j = 0; j < 3; j++) {
            UNROLL for (int i = 0; i < 3; i++) d[i] =
                cx_vload(w + (size_t)(3 * i + j) * pairs + at);
            kernel_to_points(d, t);
            UNROLL for (int i = 0; i < IN; i++) half[i][j] = t[i];
        }
        UNROLL for (int i = 0; i < IN; i++) {
            kernel_to_points(half[i], t);
            UNROLL for (int j = 0; j < IN; j++)
                cx_vstore(u + (size_t)(i * IN + j) * pairs + at, t[j]);
        }
    }
}

/* --- the whole --- */

/* One correlation: y[to] (+)= b + w * x[from], or of dy for dx. */
typedef struct {
    int from, to; /* channels */
    int h, w, padding;
    int oh, ow;
    int tiles_h, tiles_w;
} job;

/* Some rows of tiles of some blocks of images, and the memory that they take. */
typedef struct {
    int blocks, rows; /* packed at a time */
    int part;         /* rows of tiles transformed at a time; all where blocks > 1 */
    int tiles;        /* those of all blocks */
    cx_strip in, out;
    size_t pairs, in_size, out_size, v_size, m_size, offsets;
} portion;

static size_t round_up(size_t n) {
    return (n + 15) / 16 * 16;
}

static job forward_job(const cx_conv *g) {
    return (job){g->c,
                 g->out,
                 g->h,
                 g->w,
                 g->padding,
                 g->oh,
                 g->ow,
                 (g->oh + OUT - 1) / OUT,
                 (g->ow + OUT - 1) / OUT};
}
static job gradient_job(const cx_conv *g) {
    return (job){g->out,
                 g->c,
                 g->oh,
                 g->ow,
                 2 - g->padding,
                 g->h,
                 g->w,
                 (g->h + OUT - 1) / OUT,
                 (g->w + OUT - 1) / OUT};
}

static portion make_portion(const job *j, int blocks, int rows, int part) {
    portion p = {.blocks = blocks, .rows = rows, .part = part};
    int high = OUT * rows < j->oh ? OUT * rows : j->oh;
    p.tiles = blocks * part * j->tiles_w;
    p.in = (cx_strip){.channels = j->from,
                      .h = j->h,
                      .w = j->w,
                      .first = -j->padding,
                      .rows = OUT * rows + IN - OUT,
                      .left = j->padding,
                      .width = OUT * j->tiles_w + IN - OUT};
    if (p.in.width < p.in.left + p.in.w)
        p.in.width = p.in.left + p.in.w;
    p.out = (cx_strip){.channels = j->to, .h = j->oh, .w = j->ow, .rows = high, .width = j->ow};
    p.in_size = cx_strip_size(&p.in);
    p.out_size = cx_strip_size(&p.out);
    size_t points = (size_t)ALL * (size_t)p.tiles * LANES;
    p.v_size = (size_t)j->from * points;
    p.m_size = (size_t)j->to * points;
    p.pairs = round_up((size_t)j->from * (size_t)j->to);
    p.offsets = round_up((size_t)j->from * sizeof(ptrdiff_t) / sizeof(cx_real) + 1);
    return p;
}

static size_t strip_bytes(const portion *p) {
    return (p->in_size + p->out_size) * sizeof(cx_real);
}
static size_t tile_bytes(const portion *p) {
    return (p->v_size + p->m_size) * sizeof(cx_real);
}
/* One strip of results serves all blocks, one after the other. */
static size_t portion_size(const portion *p) {
    return p->in_size + p->out_size + p->v_size + p->m_size;
}

static portion choose_portion(const job *j, int blocks) {
    int rows = 1, part = 1, n = 1;
    portion p;
    while (rows < j->tiles_h &&
           (p = make_portion(j, 1, rows + 1, 1), strip_bytes(&p) <= (size_t)STRIPS))
        rows++;
    int parts = (j->tiles_h + rows - 1) / rows; /* as even as can be */
    rows = (j->tiles_h + parts - 1) / parts;
    while (part < rows && (p = make_portion(j, 1, rows, part + 1), tile_bytes(&p) <= (size_t)TILES))
        part++;
    while (part == j->tiles_h && n < blocks &&
           (p = make_portion(j, n + 1, rows, part), tile_bytes(&p) <= (size_t)TILES))
        n++;
    return make_portion(j, n, rows, part);
}

static int blocks_of(const cx_conv *g) {
    return (g->lanes + LANES - 1) / LANES;
}

static size_t job_temp(const job *j, int blocks) {
    portion p = choose_portion(j, blocks);
    size_t work = portion_size(&p), kernels = 9 * p.pairs; /* the two are not there at once */
    return p.offsets + ALL * p.pairs + (work > kernels ? work : kernels);
}

bool cx_conv_winograd_fits(const cx_conv *g) {
    if (g->kh != 3 || g->kw != 3 || g->stride != 1 || g->dilation != 1 || g->groups != 1 ||
        g->padding > 2 || g->p < POSITIONS_LEAST || g->h * g->w < POSITIONS_LEAST ||
        (long long)g->c * g->out < PAIRS_LEAST || (long long)g->c * g->out > PAIRS_MOST)
        return false;
    job f = forward_job(g), d = gradient_job(g);
    portion pf = make_portion(&f, 1, 1, 1), pd = make_portion(&d, 1, 1, 1);
    return tile_bytes(&pf) <= 2 * (size_t)TILES && strip_bytes(&pf) <= 2 * (size_t)STRIPS &&
           strip_bytes(&pd) <= 2 * (size_t)STRIPS;
}

size_t cx_conv_winograd_temp(const cx_conv *g) {
    job f = forward_job(g), d = gradient_job(g);
    size_t forward = job_temp(&f, blocks_of(g)), gradient = job_temp(&d, blocks_of(g));
    return forward > gradient ? forward : gradient;
}

/* V of rows of tiles from `row` on, from the packed inputs of one block. */
static void block_inputs(const job *j, const portion *p, int row, const cx_real *in, cx_real *v) {
    ptrdiff_t line = (ptrdiff_t)p->in.width * LANES, step = (ptrdiff_t)p->tiles * LANES;
    int rows = p->rows - row < p->part ? p->rows - row : p->part;
    in += OUT * row * line;
    for (int c = 0; c < j->from; c++, in += line * p->in.rows, v += ALL * step)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < j->tiles_w; x++)
                transform_inputs(in + OUT * (y * line + x * LANES), line,
                                 v + (ptrdiff_t)(y * j->tiles_w + x) * LANES, step);
}

/* The results of one block (high: its rows) from their M. */
static void block_results(const job *j, const portion *p, int row, int high, const cx_real *m,
                          const cx_real *bias, cx_real *out) {
    ptrdiff_t line = (ptrdiff_t)j->ow * LANES, step = (ptrdiff_t)p->tiles * LANES;
    for (int o = 0; o < j->to; o++, out += line * high, m += ALL * step)
        for (int y = 0; y < p->part && OUT * (row + y) < high; y++)
            for (int x = 0; x < j->tiles_w; x++)
                transform_results(m + (ptrdiff_t)(y * j->tiles_w + x) * LANES, step,
                                  bias ? bias[o] : 0, out + OUT * ((row + y) * line + x * LANES),
                                  line, high - OUT * (row + y), j->ow - OUT * x);
}

static void products(const job *j, const portion *p, const cx_real *u, const cx_real *v,
                     const ptrdiff_t *offset, cx_real *m) {
    ptrdiff_t step = (ptrdiff_t)p->tiles * LANES;
    const cx_conv_grid row = {.rows = 1, .cols = p->tiles, .in_col = LANES, .out_col = LANES};
    for (int i = 0; i < ALL; i++)
        cx_conv_correlate(&row,
                          (cx_conv_tile){.a = u + (size_t)i * p->pairs,
                                         .a_row = j->from,
                                         .k = j->from,
                                         .b = v + i * step,
                                         .offset = offset,
                                         .c = m + i * step},
                          j->to, ALL * step);
}

/* What a run works with, and one strip of it. */
typedef struct {
    const job *j;
    portion p;
    ptrdiff_t *offset;
    cx_real *u, *v, *m, *in, *out;
    int images;
    const cx_real *x, *end, *bias;
    cx_real *y;
    bool add;
} task;

/* Rows of tiles from `row` on, of the blocks of images from n on. */
static void run_strip(const task *t, int n, int row) {
    const job *j = t->j;
    const portion *p = &t->p;
    cx_strip si = p->in, so = p->out;
    ptrdiff_t of_block = (ptrdiff_t)p->part * j->tiles_w * LANES;
    size_t image_in = (size_t)(j->from * j->h * j->w), image_out = (size_t)(j->to * j->oh * j->ow);
    int left = t->images - n, blocks = (left + LANES - 1) / LANES;
    blocks = blocks < p->blocks ? blocks : p->blocks;
    si.first = OUT * row - j->padding;
    so.first = OUT * row;
    so.rows = j->oh - so.first < so.rows ? j->oh - so.first : so.rows;
    for (int at = 0; at < p->rows && OUT * at < so.rows; at += p->part) {
        for (int b = 0; b < blocks; b++) {
            int some = left - b * LANES < LANES ? left - b * LANES : LANES;
            if (at == 0)
                cx_strip_pack(&si, t->x + (size_t)(n + b * LANES) * image_in, t->end, some, t->in);
            block_inputs(j, p, at, t->in, t->v + b * of_block);
        }
        products(j, p, t->u, t->v, t->offset, t->m);
        for (int b = 0; b < blocks; b++) {
            int some = left - b * LANES < LANES ? left - b * LANES : LANES;
            block_results(j, p, at, so.rows, t->m + b * of_block, t->bias, t->out);
            if (OUT * (at + p->part) >= so.rows)
                cx_strip_unpack(&so, t->out, some, t->y + (size_t)(n + b * LANES) * image_out,
                                t->add);
        }
    }
}

/* The kernels, w[9][pairs] in the order [to][from], lie where V will be. */
static void run(task t, cx_real *temp) {
    const job *j = t.j;
    t.p = choose_portion(j, (t.images + LANES - 1) / LANES);
    t.offset = (ptrdiff_t *)(void *)temp;
    t.u = temp + t.p.offsets;
    t.v = t.u + ALL * t.p.pairs;
    t.m = t.v + t.p.v_size;
    t.in = t.m + t.p.m_size;
    t.out = t.in + t.p.in_size;
    transform_kernels(t.v, t.p.pairs, t.u);
    for (int c = 0; c < j->from; c++)
        t.offset[c] = (ptrdiff_t)c * ALL * t.p.tiles * LANES;
    cx_zero(t.in, t.p.in_size);
    for (int n = 0; n < t.images; n += t.p.blocks * LANES)
        for (int row = 0; row < j->tiles_h; row += t.p.rows)
            run_strip(&t, n, row);
}

static cx_real *kernels_at(const job *j, int images, cx_real *temp, size_t *pairs) {
    portion p = choose_portion(j, (images + LANES - 1) / LANES);
    *pairs = p.pairs;
    cx_real *w = temp + p.offsets + ALL * p.pairs;
    size_t used = (size_t)j->from * (size_t)j->to;
    for (int k = 0; k < 9; k++)
        cx_zero(w + (size_t)k * p.pairs + used, p.pairs - used);
    return w;
}

void cx_conv_winograd_forward(cx_call *c, const cx_conv *g) {
    job j = forward_job(g);
    size_t pairs, used = (size_t)j.from * (size_t)j.to;
    cx_real *w = kernels_at(&j, g->lanes, c->temp, &pairs);
    const cx_real *from = c->in[CX_CONV_W].value;
    for (size_t i = 0; i < used; i++)
        for (size_t k = 0; k < 9; k++)
            w[k * pairs + i] = *from++;
    run((task){.j = &j,
               .images = g->lanes,
               .x = c->in[CX_CONV_X].value,
               .end = c->in[CX_CONV_X].value + c->in[CX_CONV_X].size,
               .bias = c->in[CX_CONV_B].value,
               .y = c->out[0].value},
        c->temp);
}

void cx_conv_winograd_input_gradient(cx_call *c, const cx_conv *g) {
    job j = gradient_job(g);
    size_t pairs;
    cx_real *w = kernels_at(&j, g->lanes, c->temp, &pairs);
    const cx_real *from = c->in[CX_CONV_W].value;
    for (int o = 0; o < g->out; o++)
        for (int i = 0; i < g->c; i++)
            for (size_t k = 0; k < 9; k++)
                w[(8 - k) * pairs + (size_t)i * (size_t)g->out + (size_t)o] = *from++;
    run((task){.j = &j,
               .images = g->lanes,
               .x = c->out[0].grad,
               .end = c->out[0].grad + c->out[0].size,
               .y = c->in[CX_CONV_X].grad,
               .add = c->in[CX_CONV_X].add},
        c->temp);
}
