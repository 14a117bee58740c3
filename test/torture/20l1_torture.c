// SPDX-License-Identifier: MIT
/*
 * Everybody at once against a shadow model: each value read was current during the read, and no
 * value changes while it is pinned.
 *
 *   origin[k]    version of the truth, raised by a commit
 *   applied[k]   version below which no read may fall: raised after the invalidation has returned
 *
 * A read of key k is right when   applied[k] before the read <= version <= origin[k] after it.
 * The bytes of a value follow from its key, version and length, so torn, freed (poisoned in Debug)
 * or mixed-up memory shows; each value is looked at when it is read and before it is released.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "l1/l1.h"
#include "support/check.h"

#define KEYS 2000u
#define TAGS 16u
#define TAG_SLOT(k) ((uint16_t)(GROUP_SLOT_TAGS + (k) % TAGS))
#define SPACE 1u
#define SPACE_SLOT 5u
#define MEMORY_BYTES (1u << 20) /* half of what all values would take */
#define VALUE_WORDS_MAX 200u
#define HELD_MAX 700u /* more than a page of slots */
#define POOL_MAX 128u
#define ROUND_MS 1000u /* then a new cache, so that tables grow again */

struct world {
    struct env env;
    struct stats stats;
    struct l1 *l1;
    struct l1_space space;
    _Atomic uint64_t origin[KEYS];
    _Atomic uint64_t applied[KEYS];
    _Atomic bool stop;
    /* values that one thread read and another will release */
    pthread_mutex_t pool_lock;
    struct nigh_value pool[POOL_MAX];
    unsigned pool_count;
    /* what happened */
    _Atomic uint64_t reads, short_reads, stores, invalidations, copies;
};

struct actor {
    struct world *w;
    uint64_t random;
    struct nigh_value held[HELD_MAX];
    unsigned held_count;
};

struct content {
    uint64_t key, version, words;
    uint64_t body[];
};

static bool running(struct world *w)
{
    return !atomic_load_explicit(&w->stop, memory_order_relaxed);
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- values ---- */

static uint64_t body_word(uint64_t key, uint64_t version, uint64_t i)
{
    return (key + 1) * 0x9e3779b97f4a7c15 ^ (version + 1) * 0xbf58476d1ce4e5b9 ^ i;
}

static size_t content_write(struct content *c, uint64_t key, uint64_t version, uint64_t words)
{
    c->key = key;
    c->version = version;
    c->words = words;
    for (uint64_t i = 0; i < words; i++)
        c->body[i] = body_word(key, version, i);
    return sizeof(*c) + words * sizeof(uint64_t);
}

/* The version that is in it; ends the program when it is no value at all. */
static uint64_t content_version(const struct nigh_value *v)
{
    struct content head;
    REQUIRE(v->len >= sizeof(head) && v->len <= sizeof(head) + VALUE_WORDS_MAX * 8);
    memcpy(&head, v->data, sizeof(head));
    REQUIRE_EQ(v->len, sizeof(head) + head.words * sizeof(uint64_t));
    for (uint64_t i = 0; i < head.words; i++) {
        uint64_t word;
        memcpy(&word, (const char *)v->data + sizeof(head) + i * sizeof(word), sizeof(word));
        REQUIRE_EQ(word, body_word(head.key, head.version, i));
    }
    return head.version;
}

static uint64_t content_key(const struct nigh_value *v)
{
    struct content head;
    memcpy(&head, v->data, sizeof(head));
    return head.key;
}

struct body {
    char bytes[16];
};

static struct l1_key key_of(struct world *w, struct body *text, unsigned k)
{
    int len = snprintf(text->bytes, sizeof(text->bytes), "key-%u", k);
    return l1_key_of(w->l1, SPACE, text->bytes, (size_t)len);
}

/* ---- what is held ---- */

static void release(struct nigh_value *v)
{
    content_version(v); /* still whole? */
    l1_unpin(v->pin);
}

static void release_one(struct actor *a)
{
    if (!a->held_count)
        return;
    unsigned i = (unsigned)(check_random(&a->random) % a->held_count);
    release(&a->held[i]);
    a->held[i] = a->held[--a->held_count];
}

/* Give a value to the pool, and take one that another thread left there. */
static void exchange_one(struct actor *a)
{
    struct world *w = a->w;
    if (!a->held_count)
        return;
    pthread_mutex_lock(&w->pool_lock);
    if (w->pool_count < POOL_MAX) {
        w->pool[w->pool_count++] = a->held[--a->held_count];
    } else {
        unsigned i = (unsigned)(check_random(&a->random) % POOL_MAX);
        struct nigh_value mine = a->held[a->held_count - 1];
        a->held[a->held_count - 1] = w->pool[i];
        w->pool[i] = mine;
    }
    pthread_mutex_unlock(&w->pool_lock);
}

static void keep(struct actor *a, const struct nigh_value *v)
{
    if (a->held_count == HELD_MAX)
        release_one(a);
    a->held[a->held_count++] = *v;
}

static void release_all(struct actor *a)
{
    while (a->held_count)
        release_one(a);
}

/* ---- readers ---- */

static bool judge(struct world *w, struct l1_entry *e)
{
    if (l1_touch(e, l1_generation(&w->space.hit)) & L1_TOUCHED_SAMPLED)
        l1_report_hit(e);
    return l1_is_current(&w->space, e) || l1_judge(w->l1, e) != L1_BELOW_HARD;
}

/* As a hit does: hold what may be it, and look at that when the section is over. */
static bool read_short(struct actor *a, const struct l1_key *key, struct nigh_value *ret)
{
    const struct world *w = a->w;
    struct rcu_section section;
    struct nigh_value v;
    if (!rcu_enter_short(&section))
        return false;
    struct l1_entry *e = l1_likely_rcu(&w->space, l1_bucket_rcu(&w->space, key->hash), key->hash);
    v.pin = e ? l1_hold_rcu(e) : 0;
    rcu_leave_short(section);
    if (!v.pin)
        return false;
    if (check_random(&a->random) % 64 == 0)
        sched_yield(); /* while others replace and free */
    v.data = e->bytes + key->len;
    if (l1_is_value(&w->space, e, key->data, key->len, &v.len) && judge(a->w, e)) {
        *ret = v;
        return true;
    }
    l1_unpin(v.pin);
    return false;
}

/* As all other reads do. */
static bool read_long(struct world *w, const struct l1_key *key, struct nigh_value *ret)
{
    bool got = false, copied = false;
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(w->l1, key);
    if (e)
        got = judge(w, e) && l1_pin_rcu(w->l1, e, ret, &copied) == 0;
    rcu_leave();
    if (copied)
        count(&w->copies);
    return got;
}

/* Find, judge and pin. False: a miss. */
static bool read_value(struct actor *a, const struct l1_key *key, struct nigh_value *ret)
{
    if (check_random(&a->random) % 3 && read_short(a, key, ret)) {
        count(&a->w->short_reads);
        return true;
    }
    return read_long(a->w, key, ret);
}

static void read_and_judge(struct actor *a)
{
    struct world *w = a->w;
    unsigned k = (unsigned)(check_random(&a->random) % KEYS);
    struct body text;
    struct l1_key key = key_of(w, &text, k);
    uint64_t least = atomic_load_explicit(&w->applied[k], memory_order_acquire);
    struct nigh_value v;
    if (!read_value(a, &key, &v))
        return;
    uint64_t most = atomic_load_explicit(&w->origin[k], memory_order_acquire);
    uint64_t version = content_version(&v);
    REQUIRE_EQ(content_key(&v), k);
    REQUIRE(version >= least);
    REQUIRE(version <= most);
    count(&w->reads);
    keep(a, &v);
}

static void *reader(void *arg)
{
    struct actor *a = arg;
    while (running(a->w)) {
        uint64_t dice = check_random(&a->random) % 64;
        read_and_judge(a);
        if (dice < 2)
            exchange_one(a);
        else if (dice < 20) /* so that sooner or later all slots are taken */
            release_one(a);
        if (a->held_count == HELD_MAX)
            release_all(a);
        if (dice == 63)
            sched_yield();
    }
    release_all(a);
    return NULL;
}

/* Threads that end with values in their slots; their pages are adopted by the next. */
static void *visitor(void *arg)
{
    struct actor *a = arg;
    for (int i = 0; i < 50; i++)
        read_and_judge(a);
    while (a->held_count > 10)
        release_one(a);
    return NULL;
}

static void *host(void *arg)
{
    struct actor *a = arg;
    while (running(a->w)) {
        pthread_t thread;
        REQUIRE_EQ(pthread_create(&thread, NULL, visitor, a), 0);
        pthread_join(thread, NULL);
        for (int i = 0; i < 5; i++)
            exchange_one(a);
        release_all(a);
    }
    return NULL;
}

/* A thread that is preempted inside a section, as far as anybody can tell. */
static void *sitter(void *arg)
{
    struct actor *a = arg;
    struct body text;
    while (running(a->w)) {
        struct l1_key key = key_of(a->w, &text, (unsigned)(check_random(&a->random) % KEYS));
        rcu_enter();
        struct l1_entry *e = l1_find_rcu(a->w->l1, &key);
        for (int i = 0; i < 5; i++)
            check_pause();
        if (e) { /* it has long been evicted, but not freed */
            struct bytes bytes = l1_entry_value(e);
            struct nigh_value v = {bytes.data, bytes.len, 0};
            content_version(&v);
        }
        rcu_leave();
        for (int i = 0; i < 20; i++)
            check_pause();
    }
    return NULL;
}

/* ---- writers ---- */

static struct l1_value value_of(struct actor *a, struct content *c, unsigned k, uint64_t version,
                                const uint16_t *tag)
{
    uint64_t now = clock_now_ns(a->w->env.clock);
    size_t len = content_write(c, k, version, check_random(&a->random) % VALUE_WORDS_MAX);
    uint64_t ttl_ns = check_random(&a->random) % 4 ? NS_PER_S : 100 * NS_PER_MS;
    return (struct l1_value){.bytes = bytes_of(c, len),
                             .born_ns = now,
                             .fresh_until_ns = now,
                             .stale_until_ns = now + ttl_ns,
                             .groups = tag,
                             .group_count = 1};
}

static void store(struct actor *a, unsigned k, uint64_t version, uint64_t stamp)
{
    struct world *w = a->w;
    struct body text;
    struct l1_key key = key_of(w, &text, k);
    uint64_t buffer[sizeof(struct content) / 8 + VALUE_WORDS_MAX];
    uint16_t tag = TAG_SLOT(k);
    struct content *content = (void *)buffer;
    struct l1_value v = value_of(a, content, k, version, &tag);
    v.stamp = stamp;
    struct l1_entry *e;
    if (l1_entry_create(w->l1, &key, &v, &e) != 0)
        return;
    if (l1_store(w->l1, &key, e) == L1_STORED)
        count(&w->stores);
    if (check_random(&a->random) % 16 == 0) { /* a flight's result, handed to a follower */
        struct nigh_value held;
        l1_pin_ref(e, NIGH_TIER_LOADER, &held);
        keep(a, &held);
    }
    l1_entry_unref(e);
}

static void *loader(void *arg)
{
    struct actor *a = arg;
    struct world *w = a->w;
    while (running(w)) {
        unsigned k = (unsigned)(check_random(&a->random) % KEYS);
        uint64_t ticket = l1_ticket(w->l1); /* before looking */
        uint64_t version = atomic_load_explicit(&w->origin[k], memory_order_acquire);
        if (check_random(&a->random) % 8 == 0)
            sched_yield(); /* a slow load: somebody may invalidate meanwhile */
        store(a, k, version, ticket);
        if (check_random(&a->random) % 4 == 0)
            release_one(a);
    }
    release_all(a);
    return NULL;
}

static uint64_t commit(struct world *w, unsigned k)
{
    return atomic_fetch_add_explicit(&w->origin[k], 1, memory_order_acq_rel) + 1;
}

static void note_applied(struct world *w, unsigned k, uint64_t version)
{
    uint64_t old = atomic_load_explicit(&w->applied[k], memory_order_relaxed);
    while (old < version &&
           !atomic_compare_exchange_weak_explicit(&w->applied[k], &old, version,
                                                  memory_order_release, memory_order_relaxed))
        continue;
}

/* Rule 6, without the value: commit, raise and remove. */
static void remove_key(struct actor *a, unsigned k)
{
    struct body text;
    struct l1_key key = key_of(a->w, &text, k);
    uint64_t version = commit(a->w, k);
    l1_invalidate_key(a->w->l1, &key, 0, 0, NULL);
    note_applied(a->w, k, version);
}

/* With it: replaced in one step, unless somebody was faster. */
static void write_key(struct actor *a, unsigned k)
{
    struct world *w = a->w;
    struct body text;
    struct l1_key key = key_of(w, &text, k);
    uint64_t buffer[sizeof(struct content) / 8 + VALUE_WORDS_MAX];
    uint16_t tag = TAG_SLOT(k);
    uint64_t ticket = l1_ticket(w->l1);
    uint64_t version = commit(w, k);
    struct l1_value v = value_of(a, (void *)buffer, k, version, &tag);
    if (l1_write(w->l1, &key, &v, ticket, 0, false) == L1_STORED)
        count(&w->stores);
    note_applied(w, k, version);
}

static void invalidate_tag(struct actor *a)
{
    struct world *w = a->w;
    uint64_t versions[KEYS / TAGS + 1];
    unsigned tag = (unsigned)(check_random(&a->random) % TAGS);
    for (unsigned k = tag; k < KEYS; k += TAGS)
        versions[k / TAGS] = commit(w, k);
    l1_raise_group(w->l1, TAG_SLOT(tag), false);
    for (unsigned k = tag; k < KEYS; k += TAGS)
        note_applied(w, k, versions[k / TAGS]);
}

static void *writer(void *arg)
{
    struct actor *a = arg;
    while (running(a->w)) {
        uint64_t dice = check_random(&a->random) % 1024;
        unsigned k = (unsigned)(check_random(&a->random) % KEYS);
        if (dice == 0)
            invalidate_tag(a);
        else if (dice == 1)
            l1_raise_group(a->w->l1, GROUP_SLOT_ALL, true);
        else if (dice & 1)
            write_key(a, k);
        else
            remove_key(a, k);
        if (dice % 8 == 0)
            sched_yield();
        count(&a->w->invalidations);
        release_one(a);
    }
    release_all(a);
    return NULL;
}

static void *keeper(void *arg)
{
    struct world *w = ((struct actor *)arg)->w;
    while (running(w)) {
        l1_expire(w->l1, 1000);
        l1_reclaim(w->l1);
        struct l1_gauges g;
        l1_gauges_read(w->l1, L1_GAUGE_ALL, &g);
        REQUIRE(g.peak_bytes <= MEMORY_BYTES);
        check_pause();
    }
    return NULL;
}

/* ---- a round ---- */

static void *(*const roles[])(void *) = {reader, reader, loader, loader, writer,
                                         writer, host,   sitter, keeper};
#define ACTORS ARRAY_COUNT(roles)

static void open_world(struct world *w, enum nigh_policy policy)
{
    REQUIRE_EQ(env_init_real(&w->env, false), 0);
    REQUIRE_EQ(stats_init(&w->stats, w->env.mem), 0);
    struct l1_config config = {.env = &w->env,
                               .stats = &w->stats,
                               .memory_bytes = MEMORY_BYTES,
                               .limbo_bytes = MEMORY_BYTES / 4,
                               .shards = 2,
                               .group_slots = GROUP_SLOTS_MIN,
                               .policy = policy};
    REQUIRE_EQ(l1_create(&config, &w->l1), 0);
    l1_space_init(w->l1, SPACE, SPACE_SLOT, &w->space);
    pthread_mutex_init(&w->pool_lock, NULL);
}

/* With everything released and removed, every byte must have come back. */
static void close_world(struct world *w)
{
    for (unsigned i = 0; i < w->pool_count; i++)
        release(&w->pool[i]);
    for (unsigned k = 0; k < KEYS; k++) {
        struct body text;
        struct l1_key key = key_of(w, &text, k);
        l1_invalidate_key(w->l1, &key, 0, 0, NULL);
    }
    for (int pass = 0; pass < 3; pass++)
        l1_reclaim(w->l1);
    struct l1_gauges g;
    l1_gauges_read(w->l1, L1_GAUGE_ALL, &g);
    CHECK_EQ(g.entries, 0);
    CHECK_EQ(g.limbo_bytes, 0);
    CHECK_EQ(g.unstored_bytes, 0);
    CHECK_EQ(g.used_bytes, g.tables_bytes);
    CHECK_LE(g.peak_bytes, g.cap_bytes);
    l1_destroy(w->l1);
    stats_fini(&w->stats);
    env_fini(&w->env);
    pthread_mutex_destroy(&w->pool_lock);
}

static void wait_ms(unsigned ms)
{
    uint64_t end_ms = check_now_ms() + ms;
    while (check_now_ms() < end_ms)
        check_pause();
}

static void run_round(uint64_t *random, enum nigh_policy policy)
{
    static struct world world;
    static struct actor actors[ACTORS];
    struct world *w = &world;
    memset(w, 0, sizeof(*w));
    open_world(w, policy);
    pthread_t threads[ACTORS];
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = (struct actor){.w = w, .random = check_random(random)};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, roles[i], &actors[i]), 0);
    }
    wait_ms(ROUND_MS);
    CHECK_WITHIN(20 * ROUND_MS, w->reads > 100 && w->stores > 100); /* on a busy machine, too */
    atomic_store_explicit(&w->stop, true, memory_order_relaxed);
    for (unsigned i = 0; i < ACTORS; i++)
        pthread_join(threads[i], NULL);
    check_note("%llu reads, %llu stores, %llu invalidations, %llu copies, %llu evicted, %llu grown",
               (unsigned long long)w->reads, (unsigned long long)w->stores,
               (unsigned long long)w->invalidations, (unsigned long long)w->copies,
               (unsigned long long)stats_read(&w->stats, STATS_L1_EVICT),
               (unsigned long long)stats_read(&w->stats, STATS_L1_GROW));
    close_world(w);
}

TEST(every_read_is_current_and_every_pin_holds)
{
    static const enum nigh_policy policies[] = {NIGH_POLICY_LFU, NIGH_POLICY_LRU, NIGH_POLICY_LFU,
                                                NIGH_POLICY_TTL};
    uint64_t random = check_seed();
    for (unsigned round = 0; round < check_seconds(5); round++)
        run_round(&random, policies[round % ARRAY_COUNT(policies)]);
}

/* ---- pins under references ---- */

#define REFERENCED 200u

static void *judge_all_the_time(void *arg)
{
    struct world *w = arg;
    while (running(w))
        l1_reclaim(w->l1);
    return NULL;
}

/* Retired entries that only a reference keeps. Returns how many: what was not stored (limbo may be
 * full) is freed by its last reference, and must not be pinned by a slot. */
static unsigned make_referenced(struct actor *a, struct l1_entry *entries[REFERENCED])
{
    struct world *w = a->w;
    unsigned made = 0;
    for (unsigned k = 0; k < REFERENCED; k++) {
        struct body text;
        struct l1_key key = key_of(w, &text, k);
        uint64_t buffer[sizeof(struct content) / 8 + VALUE_WORDS_MAX];
        uint16_t tag = TAG_SLOT(k);
        struct content *content = (void *)buffer;
        struct l1_value v = value_of(a, content, k, 1, &tag);
        v.stamp = l1_ticket(w->l1);
        REQUIRE_EQ(l1_entry_create(w->l1, &key, &v, &entries[made]), 0);
        if (l1_store(w->l1, &key, entries[made]) == L1_STORED)
            made++;
        else
            l1_entry_unref(entries[made]);
        l1_invalidate_key(w->l1, &key, 0, 0, NULL);
    }
    return made;
}

/* While the reclaimer judges: from a reference to a slot, and the reference is gone. */
static void swap_for_pins(struct actor *a, struct l1_entry *entries[REFERENCED], unsigned made)
{
    bool copied;
    for (unsigned k = 0; k < made; k++) {
        struct nigh_value v;
        REQUIRE_EQ(l1_pin_rcu(a->w->l1, entries[k], &v, &copied), 0);
        l1_entry_unref(entries[k]);
        keep(a, &v);
        if (k % 8 == 0)
            sched_yield();
    }
    sched_yield();
    release_all(a);
}

TEST(a_pin_taken_under_a_reference_is_always_seen)
{
    static struct world world;
    static struct actor actor;
    struct world *w = &world;
    memset(w, 0, sizeof(*w));
    open_world(w, NIGH_POLICY_LFU);
    actor = (struct actor){.w = w, .random = check_seed()};
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, judge_all_the_time, w), 0);
    uint64_t end_ms = check_now_ms() + 300 * check_seconds(5);
    uint64_t swapped = 0;
    while (swapped <= REFERENCED || check_now_ms() < end_ms) {
        struct l1_entry *entries[REFERENCED];
        unsigned made = make_referenced(&actor, entries);
        wait_ms(1);
        swap_for_pins(&actor, entries, made);
        swapped += made;
    }
    atomic_store_explicit(&w->stop, true, memory_order_relaxed);
    pthread_join(thread, NULL);
    close_world(w);
}
