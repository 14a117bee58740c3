// SPDX-License-Identifier: MIT
/*
 * Tickets: the holders of leases that no load of ours runs under.
 *
 * A ticket lies in the caller's memory, and nothing says that the caller will come back with it:
 * its read of the origin failed, another branch was taken, its thread has ended. The lease would
 * then keep everyone from loading for its whole time, the caller first. So tickets are listed here,
 * with the thread that took each, and given back
 *
 *   - by the call that uses the ticket up, or gives it back in so many words;
 *   - when its thread asks for the key again: with the first ticket still out that call would wait
 *     for itself. Redis executes the release before that call's request for the lease, as both go
 *     over one connection in this order, and a GET between them: should Redis not know the script
 *     of the release, it has been sent its text by the time that this is answered;
 *   - when its thread has ended, by a flight that would wait for its lease here, at the latest by
 *     the keeper.
 *
 * A ticket may be used on another thread than took it; if it is given back meanwhile its put fills
 * L1 only, as without a lease. Only time ends a lease whose ticket is not in the list, so none is
 * asked for without a place in it.
 *
 * A thread is known by flight_thread_token(), and whether it lives by the kernel's number for it.
 * Both may come to stand for a later thread: then the later thread gives back a ticket that is
 * nobody's any more, or the keeper takes the ticket's holder to be alive until time ends the lease.
 */
#include "cache/write/tickets.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/caller.h"

/* Far above what an event loop has on its way at once; with keys of 100 bytes it is 3 MB. */
#define TICKETS_MAX 16384u
#define LOOK_NS (500 * NS_PER_MS)

struct ticket {
    struct nigh_space *space;
    struct l1_key key;    /* with its bytes behind the record */
    uint64_t token;
    struct ticket_holder holder; /* the thread that took it */
    uint64_t until_ns;    /* by then the lease has ended, unless the request for it is late */
    struct ticket *next;
};

void tickets_init(struct tickets *t)
{
    *t = (struct tickets){.look_at_ns = CLOCK_NEVER_NS};
    pthread_mutex_init(&t->lock, NULL);
}

static void ticket_free(struct mem *mem, struct ticket *t)
{
    mem_free(mem, NULL, t, sizeof(*t) + t->key.len);
}

static void free_chain(struct mem *mem, struct ticket *first)
{
    while (first) {
        struct ticket *t = first;
        first = t->next;
        ticket_free(mem, t);
    }
}

void tickets_fini(struct tickets *t, struct mem *mem)
{
    for (unsigned i = 0; i < TICKETS_CHAINS; i++)
        free_chain(mem, t->chains[i]);
    pthread_mutex_destroy(&t->lock);
}

static struct ticket **chain_of(struct tickets *t, const struct l1_key *key)
{
    return &t->chains[key->hash % TICKETS_CHAINS];
}

/* ---- adding ---- */

struct ticket_holder tickets_holder(void)
{
    return (struct ticket_holder){flight_thread_token(), (pid_t)syscall(SYS_gettid)};
}

static struct ticket *create(struct nigh_space *space, const struct l1_key *key, uint64_t token,
                             const struct ticket_holder *holder)
{
    struct nigh *cache = space->cache;
    struct ticket *t = mem_alloc(cache->env.mem, NULL, sizeof(*t) + key->len);
    if (!t)
        return NULL;
    *t = (struct ticket){
        .space = space,
        .key = *key,
        .token = token,
        .holder = *holder,
        .until_ns = clock_deadline_ns(&cache->clock, cache_read_ms(&cache->l2_deadline_ms) +
                                                         leases_time_ms(space)),
    };
    t->key.data = memcpy(t + 1, key->data, key->len);
    return t;
}

bool tickets_add(struct nigh_space *space, const struct l1_key *key, uint64_t token,
                 const struct ticket_holder *holder)
{
    struct nigh *cache = space->cache;
    struct tickets *ts = &cache->tickets;
    if (atomic_load_explicit(&ts->count, memory_order_relaxed) >= TICKETS_MAX)
        return false;
    struct ticket *t = create(space, key, token, holder);
    if (!t)
        return false;
    struct ticket **chain = chain_of(ts, key);
    pthread_mutex_lock(&ts->lock);
    t->next = *chain;
    *chain = t;
    bool first = ts->look_at_ns == CLOCK_NEVER_NS;
    if (first)
        ts->look_at_ns = clock_now_ns(&cache->clock) + LOOK_NS;
    atomic_fetch_add_explicit(&ts->count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&ts->lock);
    if (first)
        service_poke(&cache->keeper);
    return true;
}

bool tickets_has(struct nigh_space *space, const struct l1_key *key, uint64_t token)
{
    struct tickets *ts = &space->cache->tickets;
    const struct ticket *t;
    pthread_mutex_lock(&ts->lock);
    for (t = *chain_of(ts, key); t && (t->space != space || t->token != token); t = t->next)
        continue;
    pthread_mutex_unlock(&ts->lock);
    return t;
}

/* ---- taking out ---- */

/* Selects tickets: those that fit all of this, and those whose time is over. */
struct wanted {
    const struct nigh_space *space;
    const struct l1_key *key; /* NULL: any */
    uint64_t token;           /* 0: any */
    uint64_t thread;          /* 0: any */
    bool orphan;              /* only of threads that have ended */
    uint64_t now_ns;
};

static bool is_alive(const struct ticket *t)
{
    return syscall(SYS_tgkill, getpid(), t->holder.number, 0) == 0 || errno != ESRCH;
}

static bool is_of_key(const struct ticket *t, const struct wanted *w)
{
    return t->space == w->space && t->key.hash == w->key->hash && t->key.len == w->key->len &&
           memcmp(t->key.data, w->key->data, t->key.len) == 0;
}

static bool is_wanted(const struct ticket *t, const struct wanted *w)
{
    return (!w->key || is_of_key(t, w)) && (!w->token || t->token == w->token) &&
           (!w->thread || t->holder.thread == w->thread) && (!w->orphan || !is_alive(t));
}

/* Move the wanted tickets of a chain to `ret`. */
static void take_locked(struct tickets *ts, struct ticket **link, const struct wanted *w,
                        struct ticket **ret) REQUIRES(ts->lock)
{
    while (*link) {
        struct ticket *t = *link;
        if (t->until_ns > w->now_ns && !is_wanted(t, w)) {
            link = &t->next;
            continue;
        }
        *link = t->next;
        t->next = *ret;
        *ret = t;
        atomic_fetch_sub_explicit(&ts->count, 1, memory_order_relaxed);
    }
}

static bool none_out(const struct tickets *ts)
{
    return atomic_load_explicit(&ts->count, memory_order_relaxed) == 0;
}

/* Takes out the wanted tickets of one key; they are the caller's now. */
static struct ticket *take(struct nigh_space *space, const struct l1_key *key, uint64_t token,
                           uint64_t thread, bool orphan)
{
    struct tickets *ts = &space->cache->tickets;
    const struct wanted w = {space, key, token, thread, orphan, 0};
    struct ticket *taken = NULL;
    if (none_out(ts))
        return NULL;
    pthread_mutex_lock(&ts->lock);
    take_locked(ts, chain_of(ts, key), &w, &taken);
    pthread_mutex_unlock(&ts->lock);
    return taken;
}

void tickets_remove(struct nigh_space *space, const struct l1_key *key, uint64_t token)
{
    free_chain(space->cache->env.mem, take(space, key, token, 0, false));
}

/* ---- giving back ---- */

/* Gives back the leases of taken tickets, and frees the tickets. Returns whether there was one. */
static bool give_back_all(struct ticket *first)
{
    for (const struct ticket *t = first; t; t = t->next)
        leases_give_back(t->space, &t->key, t->token);
    if (first)
        free_chain(first->space->cache->env.mem, first);
    return first != NULL;
}

void tickets_give_back(struct nigh_space *space, const struct l1_key *key, struct nigh_miss *miss)
{
    uint64_t token = miss->token;
    miss->token = 0;
    if (!token || !space->cache->l2)
        return;
    tickets_remove(space, key, token);
    leases_give_back(space, key, token);
}

void nigh_miss_release(struct nigh_space *space, const void *key, size_t key_len,
                       struct nigh_miss *miss)
{
    struct caller caller;
    if (!miss || !cache_key_fits(key, key_len) || cache_is_gone(space->cache))
        return;
    struct l1_key k = l1_key_of(space->cache->l1, space->id, key, key_len);
    caller_enter(&caller);
    tickets_give_back(space, &k, miss);
    drive_flush(space->cache);
    caller_leave(&caller);
}

void tickets_give_back_own(struct nigh_space *space, const struct l1_key *key)
{
    if (!none_out(&space->cache->tickets)) /* each load comes here */
        give_back_all(take(space, key, 0, flight_thread_token(), false));
}

bool tickets_give_back_orphans(struct nigh_space *space, const struct l1_key *key)
{
    return give_back_all(take(space, key, 0, 0, true));
}

/* Takes out the wanted tickets of any key, into `ret`. Returns how many are left. */
static uint32_t take_all(struct nigh *cache, const struct wanted *w, struct ticket **ret)
{
    struct tickets *ts = &cache->tickets;
    pthread_mutex_lock(&ts->lock);
    for (unsigned i = 0; i < TICKETS_CHAINS; i++)
        take_locked(ts, &ts->chains[i], w, ret);
    uint32_t left = atomic_load_explicit(&ts->count, memory_order_relaxed);
    ts->look_at_ns = left ? clock_now_ns(&cache->clock) + LOOK_NS : CLOCK_NEVER_NS;
    pthread_mutex_unlock(&ts->lock);
    return left;
}

void tickets_give_back_all(struct nigh *cache)
{
    static const struct wanted every = {.orphan = false};
    struct ticket *taken = NULL;
    take_all(cache, &every, &taken);
    give_back_all(taken);
}

uint64_t tickets_keep(struct nigh *cache)
{
    struct tickets *ts = &cache->tickets;
    struct ticket *taken = NULL;
    uint64_t now_ns = clock_now_ns(&cache->clock);
    pthread_mutex_lock(&ts->lock);
    uint64_t look_at_ns = ts->look_at_ns;
    pthread_mutex_unlock(&ts->lock);
    if (now_ns < look_at_ns)
        return look_at_ns;
    const struct wanted gone = {.orphan = true, .now_ns = now_ns};
    uint32_t left = take_all(cache, &gone, &taken);
    give_back_all(taken);
    return left ? now_ns + LOOK_NS : CLOCK_NEVER_NS;
}
