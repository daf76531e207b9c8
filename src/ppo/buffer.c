#include "ppo/buffer.h"

#include "base/arena.h"
#include <stdlib.h>
#include <string.h>

/* Batches among which episodes are sorted by length: enough that most batches have
 * few lengths, few enough that a batch is not always made of the same episodes. */
#define WINDOW_BATCHES 8

int cx_buffer_add(cx_buffer *b, cx_trajectory *t, cx_error *err) {
    if (b->n == b->capacity) {
        int capacity = b->capacity ? 2 * b->capacity : 64;
        cx_trajectory **item = realloc(b->item, (size_t)capacity * sizeof *item);
        if (!item)
            return cx_fail(err, CX_ENOMEM, "no memory for a buffer of %d episodes", capacity);
        b->item = item;
        b->capacity = capacity;
    }
    b->item[b->n++] = t;
    b->n_new++;
    return CX_OK;
}

void cx_buffer_evict(cx_buffer *b, int limit) {
    int excess = b->n - limit;
    if (excess <= 0)
        return;
    for (int i = 0; i < excess; i++)
        cx_trajectory_destroy(b->item[i]);
    b->n -= excess;
    memmove(b->item, b->item + excess, (size_t)b->n * sizeof *b->item);
    if (b->n_new > b->n)
        b->n_new = b->n;
}

void cx_buffer_drop_spent(cx_buffer *b, uint64_t version, int max_uses, int max_staleness) {
    int kept = 0, old = b->n - b->n_new;
    for (int i = 0; i < b->n; i++)
        if (i >= old || cx_buffer_eligible(b->item[i], version, max_uses, max_staleness))
            b->item[kept++] = b->item[i];
        else
            cx_trajectory_destroy(b->item[i]);
    b->n = kept;
}

void cx_buffer_free(cx_buffer *b) {
    cx_buffer_evict(b, 0);
    free(b->item);
    *b = (cx_buffer){0};
}

uint64_t cx_staleness(const cx_trajectory *t, uint64_t version) {
    return version > t->result.version ? version - t->result.version : 0;
}

bool cx_buffer_eligible(const cx_trajectory *t, uint64_t version, int max_uses, int max_staleness) {
    return t->uses < max_uses && cx_staleness(t, version) <= (uint64_t)max_staleness;
}

/* --- the plan --- */

typedef struct {
    int steps, place; /* place: makes the order total, and the sort so a stable one */
    uint32_t episode;
} sort_key;

static int by_steps(const void *a, const void *b) {
    const sort_key *x = a, *y = b;
    if (x->steps != y->steps)
        return x->steps < y->steps ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* What the making of a plan works with; arrays of n_episodes. */
typedef struct {
    cx_plan *plan;
    cx_rng *rng;
    int size, minibatches, max_uses;
    int *uses;       /* served and planned so far */
    int *planned;    /* of these, planned */
    uint32_t *pass;  /* episodes of the pass */
    uint32_t *order; /* of its batches */
    sort_key *key;
} planner;

static void sort_window(planner *p, int first, int end) {
    for (int i = first; i < end; i++)
        p->key[i] = (sort_key){
            .steps = p->plan->episode[p->pass[i]]->result.steps, .place = i, .episode = p->pass[i]};
    qsort(p->key + first, (size_t)(end - first), sizeof *p->key, by_steps);
    for (int i = first; i < end; i++)
        p->pass[i] = p->key[i].episode;
}

/* The episodes with exactly `uses` uses, shuffled, appended to the pass. */
static int append_level(planner *p, int n, int uses) {
    int begin = n;
    for (int e = 0; e < p->plan->n_episodes; e++)
        if (p->uses[e] == uses)
            p->pass[n++] = (uint32_t)e;
    cx_rng_shuffle(p->rng, p->pass + begin, (size_t)(n - begin));
    return n;
}

/* Chooses the episodes of the next pass; their number. */
static int choose_pass(planner *p) {
    int least = p->max_uses;
    for (int e = 0; e < p->plan->n_episodes; e++)
        if (p->uses[e] < least)
            least = p->uses[e];
    if (least == p->max_uses)
        return 0;
    int n = append_level(p, 0, least);
    for (int uses = least + 1; uses < p->max_uses && n < p->size; uses++) {
        n = append_level(p, n, uses);
        if (n > p->size)
            n = p->size;
    }
    return n;
}

/* Batch i of a pass of n episodes begins at n * i / batches. */
static int cut(int n, int i, int batches) {
    return (int)((int64_t)n * i / batches);
}

/* Appends a pass of n episodes to the plan, as far as there is room. */
static void append_pass(planner *p, int n) {
    cx_plan *plan = p->plan;
    int batches = (n + p->size - 1) / p->size;
    for (int b = 0; b < batches; b += WINDOW_BATCHES) {
        int end = b + WINDOW_BATCHES < batches ? b + WINDOW_BATCHES : batches;
        sort_window(p, cut(n, b, batches), cut(n, end, batches));
    }
    for (int b = 0; b < batches; b++)
        p->order[b] = (uint32_t)b;
    cx_rng_shuffle(p->rng, p->order, (size_t)batches);
    plan->last_pass = plan->n_batches;
    for (int i = 0; i < batches && plan->n_batches < p->minibatches; i++) {
        int b = (int)p->order[i], at = plan->start[plan->n_batches];
        for (int j = cut(n, b, batches); j < cut(n, b + 1, batches); j++) {
            plan->item[at++] = (int)p->pass[j];
            p->uses[p->pass[j]]++;
            p->planned[p->pass[j]]++;
        }
        plan->start[++plan->n_batches] = at;
    }
}

/* Eligible episodes, by number of outer steps, into plan->episode. */
static void collect(const cx_buffer *b, uint64_t version, int max_uses, int max_staleness,
                    planner *p) {
    cx_plan *plan = p->plan;
    for (int i = 0; i < b->n; i++)
        if (cx_buffer_eligible(b->item[i], version, max_uses, max_staleness)) {
            int n = plan->n_episodes++;
            p->key[n] =
                (sort_key){.steps = b->item[i]->result.steps, .place = i, .episode = (uint32_t)i};
        }
    qsort(p->key, (size_t)plan->n_episodes, sizeof *p->key, by_steps);
    for (int e = 0; e < plan->n_episodes; e++) {
        plan->episode[e] = b->item[p->key[e].episode];
        p->uses[e] = plan->episode[e]->uses;
    }
}

/* Episodes that got no place (there were more than places) leave the plan. */
static void compact(planner *p) {
    cx_plan *plan = p->plan;
    int kept = 0;
    for (int e = 0; e < plan->n_episodes; e++)
        if (p->planned[e]) {
            plan->episode[kept] = plan->episode[e];
            p->pass[e] = (uint32_t)kept++;
        }
    for (int i = 0; i < plan->start[plan->n_batches]; i++)
        plan->item[i] = (int)p->pass[plan->item[i]];
    plan->n_episodes = kept;
}

int cx_plan_make(const cx_buffer *b, uint64_t version, int max_uses, int max_staleness,
                 int minibatches, int size, cx_rng *rng, cx_plan *plan, cx_error *err) {
    *plan = (cx_plan){0};
    size_t n = b->n > 0 ? (size_t)b->n : 1;
    /* no episode is used more than max_uses times, and no batch is empty */
    size_t places = n * (size_t)max_uses, wanted = (size_t)minibatches * (size_t)size;
    if (places > wanted)
        places = wanted;
    size_t batches = places < (size_t)minibatches ? places : (size_t)minibatches;
    planner p = {
        .plan = plan, .rng = rng, .size = size, .minibatches = minibatches, .max_uses = max_uses};
    plan->episode = cx_calloc(n, sizeof *plan->episode);
    plan->item = cx_calloc(places, sizeof *plan->item);
    plan->start = cx_calloc(batches + 1, sizeof *plan->start);
    p.uses = cx_calloc(n, sizeof *p.uses);
    p.planned = cx_calloc(n, sizeof *p.planned);
    p.pass = cx_calloc(n, sizeof *p.pass);
    p.order = cx_calloc(n, sizeof *p.order);
    p.key = cx_calloc(n, sizeof *p.key);
    int rc = CX_OK;
    if (!plan->episode || !plan->item || !plan->start || !p.uses || !p.planned || !p.pass ||
        !p.order || !p.key) {
        rc = cx_fail(err, CX_ENOMEM, "no memory to plan an update of %d episodes", b->n);
        cx_plan_free(plan);
    } else {
        collect(b, version, max_uses, max_staleness, &p);
        while (plan->n_batches < minibatches) {
            int chosen = choose_pass(&p);
            if (!chosen)
                break;
            append_pass(&p, chosen);
        }
        compact(&p);
    }
    free(p.uses);
    free(p.planned);
    free(p.pass);
    free(p.order);
    free(p.key);
    return rc;
}

void cx_plan_free(cx_plan *plan) {
    free(plan->episode);
    free(plan->start);
    free(plan->item);
    *plan = (cx_plan){0};
}
