// SPDX-License-Identifier: MIT
/*
 * Baselines that evict well: exact LRU, and W-TinyLFU, each under 64 mutexes. Values are
 * overwritten in place and copied out; every hit moves its entry under the lock.
 *
 *     W-TinyLFU: new --> window (LRU, 1 %) --> contest by sketch --> probation <--> protected
 *     LRU:       the same with a window of all and no sketch
 *
 * Sources: G. Einziger, R. Friedman, B. Manes, TinyLFU: A Highly Efficient Cache Admission Policy
 * (2017); the sketch as in Caffeine: 4-bit counters, one line per key, halved after ten additions
 * per entry.
 */
#include <pthread.h>

#include "bench/baseline.h"

#define STRIPES 64u
#define WINDOW_SHARE 100u
#define COUNT_MAX 15u
#define SAMPLE_PER_ENTRY 10u
#define HALF_MASK UINT64_C(0x7777777777777777)

enum part { WINDOW, PROBATION, PROTECTED, PARTS };

struct node {
    struct node *chain;
    struct node *newer, *older; /* in a ring with the list's own */
    uint64_t hash;
    enum part part;
    struct baseline_item item;
};

struct list {
    struct node end; /* end.older is the newest */
    uint64_t count;
    uint64_t most; /* beyond, it gives its oldest up */
};

struct stripe {
    _Alignas(64) pthread_mutex_t lock;
    struct list lists[PARTS];
    uint64_t count, most;
    uint64_t *sketch; /* blocks of 8 words; NULL: exact LRU */
    uint64_t blocks;  /* power of two */
    uint64_t added;
};

struct evicting_map {
    struct stripe stripes[STRIPES];
    struct node **buckets;
    uint64_t mask; /* at least STRIPES - 1 */
};

static struct evicting_map *map_of(struct nigh_space *space)
{
    return (void *)space;
}

/* ---- sketch ---- */

static unsigned counter_at(uint64_t hash, unsigned row, unsigned *ret_shift)
{
    unsigned index = (unsigned)(hash >> (40 + 5 * row)) & 31u;
    *ret_shift = (index & 15u) * 4;
    return row * 2 + (index >> 4);
}

static uint64_t *block_of(const struct stripe *s, uint64_t hash)
{
    return s->sketch + (hash >> 6 & (s->blocks - 1)) * 8;
}

static unsigned estimate(const struct stripe *s, uint64_t hash)
{
    const uint64_t *block = block_of(s, hash);
    unsigned least = COUNT_MAX;
    for (unsigned row = 0; row < 4; row++) {
        unsigned shift, word = counter_at(hash, row, &shift);
        unsigned count = (unsigned)(block[word] >> shift) & COUNT_MAX;
        least = count < least ? count : least;
    }
    return least;
}

static void note(struct stripe *s, uint64_t hash)
{
    if (!s->sketch)
        return;
    uint64_t *block = block_of(s, hash);
    bool any = false;
    for (unsigned row = 0; row < 4; row++) {
        unsigned shift, word = counter_at(hash, row, &shift);
        if ((block[word] >> shift & COUNT_MAX) < COUNT_MAX) {
            block[word] += UINT64_C(1) << shift;
            any = true;
        }
    }
    if (any && ++s->added >= SAMPLE_PER_ENTRY * s->most) {
        for (uint64_t i = 0; i < s->blocks * 8; i++)
            s->sketch[i] = s->sketch[i] >> 1 & HALF_MASK;
        s->added /= 2;
    }
}

/* ---- lists ---- */

static void push(struct stripe *s, enum part part, struct node *n)
{
    struct list *l = &s->lists[part];
    n->part = part;
    n->newer = &l->end;
    n->older = l->end.older;
    n->older->newer = n;
    l->end.older = n;
    l->count++;
}

static void pull(struct stripe *s, struct node *n)
{
    n->newer->older = n->older;
    n->older->newer = n->newer;
    s->lists[n->part].count--;
}

static struct node *oldest(const struct stripe *s, enum part part)
{
    return s->lists[part].count ? s->lists[part].end.newer : NULL;
}

static bool is_over(const struct stripe *s, enum part part)
{
    return s->lists[part].count > s->lists[part].most;
}

static void move(struct stripe *s, struct node *n, enum part part)
{
    pull(s, n);
    push(s, part, n);
}

static void use(struct stripe *s, struct node *n)
{
    note(s, n->hash);
    move(s, n, n->part == WINDOW ? WINDOW : PROTECTED);
    if (is_over(s, PROTECTED))
        move(s, oldest(s, PROTECTED), PROBATION);
}

/* ---- create, destroy ---- */

static void stripe_init(struct stripe *s, uint64_t most, bool is_lru)
{
    memset((void *)s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    for (int part = 0; part < PARTS; part++)
        s->lists[part].end.newer = s->lists[part].end.older = &s->lists[part].end;
    s->most = most;
    s->lists[WINDOW].most = is_lru ? most : most / WINDOW_SHARE + 1;
    s->lists[PROTECTED].most = (most - s->lists[WINDOW].most) / 5 * 4;
    if (is_lru)
        return;
    s->blocks = baseline_power_of_two(most) / 8 + 1;
    s->blocks = baseline_power_of_two(s->blocks);
    s->sketch = must_alloc(s->blocks * 8, sizeof(*s->sketch));
}

static struct nigh_space *create(const struct candidate_need *need, bool is_lru)
{
    struct evicting_map *map = aligned_alloc(64, sizeof(*map));
    if (!map)
        fail("no memory");
    uint64_t buckets = baseline_power_of_two(need->entries);
    uint64_t most = (need->bounded ? need->entries : 2 * need->entries) / STRIPES + 1;
    map->mask = (buckets < STRIPES ? STRIPES : buckets) - 1;
    map->buckets = must_alloc(map->mask + 1, sizeof(*map->buckets));
    for (unsigned i = 0; i < STRIPES; i++)
        stripe_init(&map->stripes[i], most, is_lru);
    return (void *)map;
}

static struct nigh_space *lru_create(const struct candidate_need *need)
{
    return create(need, true);
}

static struct nigh_space *tinylfu_create(const struct candidate_need *need)
{
    return create(need, false);
}

static void destroy(struct nigh_space *space)
{
    struct evicting_map *map = map_of(space);
    for (uint64_t i = 0; i <= map->mask; i++)
        for (struct node *n = map->buckets[i], *next; n; n = next) {
            next = n->chain;
            free(n);
        }
    for (unsigned i = 0; i < STRIPES; i++)
        free(map->stripes[i].sketch);
    free(map->buckets);
    free(map);
}

/* ---- get, put ---- */

static struct stripe *stripe_of(struct evicting_map *map, uint64_t hash)
{
    return &map->stripes[hash & (STRIPES - 1)];
}

/* The link that points to the key's node, or to NULL. */
static struct node **find(struct evicting_map *map, uint64_t hash, const void *key, size_t len)
{
    struct node **link = &map->buckets[hash & map->mask];
    while (*link && !((*link)->hash == hash && item_has_key(&(*link)->item, key, len)))
        link = &(*link)->chain;
    return link;
}

static int get(struct nigh_space *space, const void *key, size_t key_len,
               const struct nigh_call *call, struct nigh_value *ret)
{
    struct evicting_map *map = map_of(space);
    uint64_t hash = baseline_hash(key, key_len);
    struct stripe *s = stripe_of(map, hash);
    (void)call;
    pthread_mutex_lock(&s->lock);
    struct node *n = *find(map, hash, key, key_len);
    if (n) {
        copy_out(&n->item, ret);
        use(s, n);
    } else {
        note(s, hash);
    }
    pthread_mutex_unlock(&s->lock);
    return n ? NIGH_FRESH : NIGH_MISS;
}

static void evict(struct evicting_map *map, struct stripe *s, struct node *n)
{
    struct node **link = &map->buckets[n->hash & map->mask];
    while (*link != n)
        link = &(*link)->chain;
    *link = n->chain;
    pull(s, n);
    s->count--;
    free(n);
}

/* One has to go: the window's oldest, or main's, which it has to beat. */
static void make_room(struct evicting_map *map, struct stripe *s)
{
    struct node *candidate = oldest(s, WINDOW);
    struct node *victim = oldest(s, PROBATION);
    if (!victim)
        victim = oldest(s, PROTECTED);
    if (!victim || estimate(s, candidate->hash) <= estimate(s, victim->hash)) {
        evict(map, s, candidate);
    } else {
        move(s, candidate, PROBATION);
        evict(map, s, victim);
    }
}

static void insert(struct evicting_map *map, struct stripe *s, uint64_t hash, const void *key,
                   size_t key_len, const void *value, size_t len)
{
    struct node **head = &map->buckets[hash & map->mask];
    struct node *n = malloc(sizeof(*n) + key_len + len);
    if (!n)
        fail("no memory");
    n->chain = *head;
    n->hash = hash;
    item_fill(&n->item, key, key_len, value, len);
    *head = n;
    note(s, hash);
    push(s, WINDOW, n);
    s->count++;
    if (s->count > s->most)
        make_room(map, s);
    else if (is_over(s, WINDOW))
        move(s, oldest(s, WINDOW), PROBATION);
}

static int put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
               size_t len, const struct nigh_call *call)
{
    struct evicting_map *map = map_of(space);
    uint64_t hash = baseline_hash(key, key_len);
    struct stripe *s = stripe_of(map, hash);
    int rc = 0;
    (void)call;
    pthread_mutex_lock(&s->lock);
    struct node *n = *find(map, hash, key, key_len);
    if (!n) {
        insert(map, s, hash, key, key_len, value, len);
    } else if (n->item.value_len == len) {
        memcpy(item_value(&n->item), value, len);
        use(s, n);
    } else {
        rc = NIGH_EVALUE; /* no case here changes the size of a value */
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

#define CANDIDATE(title, make)                                                                     \
    {                                                                                              \
        .name = title, .create = make, .destroy = destroy, .get = get,                             \
        .release = release_nothing, .put = put                                                     \
    }

const struct candidate candidate_lru = CANDIDATE("lru", lru_create);
const struct candidate candidate_tinylfu = CANDIDATE("tinylfu", tinylfu_create);
