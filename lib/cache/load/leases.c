// SPDX-License-Identifier: MIT
/*
 * Leases of running loads, extended every third of their time while the flight's deadline has not
 * passed: a loader that hangs must not keep the key from every other node. And how they end early.
 *
 * A request for a lease whose answer did not come in time may be executed all the same, later: then
 * the lease would be held by nobody for its whole time. So a caller that goes on without the answer
 * gives the token back at once. Redis executes a connection's requests in their order: the release
 * comes after the request for the lease, and where that was never executed it finds another token,
 * or none.
 *
 * The order ends with the connection. A release that was not answered is therefore owed, and sent
 * again once the link is up: what the old connection has left behind was executed before. It does
 * no harm if it is executed twice, or on another server, for the token is compared. Few are owed at
 * a time (those that were under way as a connection broke); should they be more than OWED_MAX, the
 * oldest are left to end by their own time, and so is one for which there is no memory.
 */
#include "cache/load/leases.h"

#include <string.h>

#include "cache/load/load.h"

#define OWED_MAX 1024u
/* Pause between two attempts on a connection that is up and does not answer. */
#define OWED_AGAIN_NS NS_PER_S
/* The least that lease.time may be. */
#define LEASE_MIN_MS 100u

/* A release, from its first sending until Redis has answered it. */
struct owed {
    struct nigh_space *space;
    struct l1_key key; /* with its bytes behind the record */
    uint64_t token;
    uint64_t due_ns;   /* when to send it again, while it is listed */
    struct fifo_link link;
};

void leases_init(struct leases *l)
{
    *l = (struct leases){0};
    pthread_mutex_init(&l->lock, NULL);
}

/*
 * Bounds lease.time for a space: a flight that waits for a dead node's lease needs time to load
 * after it. Half of the load deadline leaves the other half.
 */
uint32_t leases_time_ms(const struct nigh_space *space)
{
    uint32_t time_ms = cache_read_ms(&space->cache->lease_ms);
    uint64_t half_ms = u64_max(space->rules.load_deadline_ms / 2, LEASE_MIN_MS);
    return (uint32_t)u64_min(time_ms, half_ms);
}

/* ---- loads that run ---- */

static uint64_t period_ns(const struct nigh_space *space)
{
    return leases_time_ms(space) * NS_PER_MS / 3;
}

void leases_add(struct leases *l, struct load *load, uint64_t now_ns)
{
    pthread_mutex_lock(&l->lock);
    load->extend_at_ns = now_ns + period_ns(load->space);
    list_add(&l->loads, &load->lease_link);
    load->lease_listed = true;
    bool earlier = load->extend_at_ns < l->extend_at_ns;
    if (earlier)
        l->extend_at_ns = load->extend_at_ns;
    pthread_mutex_unlock(&l->lock);
    if (earlier)
        service_poke(&load->space->cache->keeper);
}

void leases_remove(struct leases *l, struct load *load)
{
    if (!load->lease_listed) /* changed only by the thread that steps the load: us */
        return;
    pthread_mutex_lock(&l->lock);
    list_remove(&load->lease_link);
    load->lease_listed = false;
    pthread_mutex_unlock(&l->lock);
}

bool leases_has(struct leases *l, uint64_t token)
{
    bool has = false;
    pthread_mutex_lock(&l->lock);
    for (struct list_link *at = l->loads.first; at && !has; at = at->next)
        has = CONTAINER_OF(at, struct load, lease_link)->token == token;
    pthread_mutex_unlock(&l->lock);
    return has;
}

static void extended(void *arg, struct l2_answer *answer)
{
    struct nigh_space *space = arg;
    if (answer->status == 0 && answer->verdict == L2_STORED)
        stats_count(&space->stats, STATS_LEASE_EXTENDED);
    l2_answer_free(answer);
}

/* Under the lock, so that the load cannot end meanwhile; queueing a request does not block. */
static void extend_locked(struct nigh *cache, struct load *load, uint64_t now_ns)
    REQUIRES(cache->leases.lock)
{
    struct l2_key key = cache_l2_key(load->space, load->key.data, load->key.len);
    struct l2_op op =
        l2_op_of(now_ns + cache_read_ms(&cache->l2_deadline_ms) * NS_PER_MS, extended, load->space);
    /* if this fails the lease runs out */
    (void)l2_extend(cache->l2, &key, load->token, leases_time_ms(load->space), &op);
    load->extend_at_ns = now_ns + period_ns(load->space);
}

static uint64_t extend_all(struct nigh *cache, uint64_t now_ns)
{
    uint64_t next_ns = CLOCK_NEVER_NS;
    pthread_mutex_lock(&cache->leases.lock);
    for (struct list_link *at = cache->leases.loads.first; at; at = at->next) {
        struct load *load = CONTAINER_OF(at, struct load, lease_link);
        if (now_ns >= load->extend_at_ns && now_ns < load->flight->deadline_ns)
            extend_locked(cache, load, now_ns);
        if (now_ns < load->flight->deadline_ns)
            next_ns = u64_min(next_ns, load->extend_at_ns);
    }
    cache->leases.extend_at_ns = next_ns;
    pthread_mutex_unlock(&cache->leases.lock);
    return next_ns;
}

/* ---- given back ---- */

static struct owed *owed_create(struct nigh_space *space, const struct l1_key *key, uint64_t token)
{
    struct owed *o = mem_alloc(space->cache->env.mem, NULL, sizeof(*o) + key->len);
    if (!o)
        return NULL;
    *o = (struct owed){.space = space, .key = *key, .token = token};
    o->key.data = memcpy(o + 1, key->data, key->len);
    return o;
}

static void owed_free(struct mem *mem, struct owed *o)
{
    mem_free(mem, NULL, o, sizeof(*o) + o->key.len);
}

static struct owed *take_oldest(struct fifo *owed)
{
    struct fifo_link *link = fifo_take(owed);
    return link ? CONTAINER_OF(link, struct owed, link) : NULL;
}

void leases_fini(struct leases *l, struct mem *mem)
{
    for (struct owed *o; (o = take_oldest(&l->owed));)
        owed_free(mem, o);
    pthread_mutex_destroy(&l->lock);
}

/* Puts a release behind the others. Returns the oldest if that has to make room, or NULL. */
static struct owed *list_locked(struct leases *l, struct owed *o) REQUIRES(l->lock)
{
    fifo_add(&l->owed, &o->link);
    if (l->owed_count == OWED_MAX)
        return take_oldest(&l->owed);
    l->owed_count++;
    return NULL;
}

static void list(struct nigh *cache, struct owed *o)
{
    pthread_mutex_lock(&cache->leases.lock);
    struct owed *oldest = list_locked(&cache->leases, o);
    pthread_mutex_unlock(&cache->leases.lock);
    if (oldest)
        owed_free(cache->env.mem, oldest);
}

/* Lists a release to be sent again: it was not executed, or nobody knows. */
static void owe(struct owed *o, uint64_t due_ns)
{
    struct nigh *cache = o->space->cache;
    o->due_ns = due_ns;
    list(cache, o);
    service_poke(&cache->keeper);
}

/* Takes the answer to a release. A release that was lost with its connection is sent as soon as
 * there is another. One that ran out of time is still on its way, unless the connection breaks
 * after all, so it is not sent again at once. Any other answer comes from Redis, which will say the
 * same next time. */
static void given_back(void *arg, struct l2_answer *answer)
{
    struct owed *o = arg;
    struct nigh *cache = o->space->cache;
    uint64_t now_ns = clock_now_ns(&cache->clock);
    if (answer->status == 0) /* waiters here need not depend on the channel, as others must */
        cache_notify(o->space, &o->key, FLIGHT_EV_FILLED);
    if (answer->status == NIGH_EOFFLINE)
        owe(o, now_ns);
    else if (answer->status == NIGH_ETIMEDOUT)
        owe(o, now_ns + OWED_AGAIN_NS);
    else
        owed_free(cache->env.mem, o);
    l2_answer_free(answer);
    cache_note_answered(cache);
}

static void send(struct owed *o)
{
    struct nigh *cache = o->space->cache;
    struct l2_key name = cache_l2_key(o->space, o->key.data, o->key.len);
    uint64_t now_ns = clock_now_ns(&cache->clock);
    uint64_t deadline_ns = now_ns + cache_read_ms(&cache->l2_deadline_ms) * NS_PER_MS;
    struct l2_op op = l2_op_of(deadline_ns, given_back, o);
    uint8_t buffer[COHERENCE_FILL_FRAME_MAX];
    struct l2_frame frame = coherence_fill_frame(cache->coherence, name.space, name.key, buffer);
    cache_note_sent(cache);
    if (l2_release(cache->l2, &name, o->token, &frame, &op) == 0)
        return;
    owe(o, l2_connected(cache->l2) ? now_ns + OWED_AGAIN_NS : now_ns);
    cache_note_answered(cache);
}

void leases_give_back(struct nigh_space *space, const struct l1_key *key, uint64_t token)
{
    struct owed *o = owed_create(space, key, token);
    if (!o)
        return;
    stats_count(&space->stats, STATS_LEASE_GIVEN_BACK);
    send(o);
}

void leases_end_filled(struct nigh_space *space, const struct l1_key *key, uint64_t token,
                       const struct l2_answer *answer)
{
    if (!answer || answer->status != 0)
        leases_give_back(space, key, token);
}

/* The keeper is poked when the link is up again: coherence wants a beat then. */
static uint64_t send_owed(struct nigh *cache, uint64_t now_ns)
{
    struct leases *l = &cache->leases;
    uint64_t next_ns = CLOCK_NEVER_NS;
    if (!l2_connected(cache->l2))
        return next_ns;
    pthread_mutex_lock(&l->lock);
    struct fifo all = l->owed;
    l->owed = (struct fifo){NULL, NULL};
    l->owed_count = 0;
    pthread_mutex_unlock(&l->lock);
    for (struct owed *o; (o = take_oldest(&all));) {
        if (o->due_ns <= now_ns) {
            send(o);
        } else {
            next_ns = u64_min(next_ns, o->due_ns);
            list(cache, o);
        }
    }
    return next_ns;
}

uint64_t leases_keep(struct nigh *cache)
{
    uint64_t now_ns = clock_now_ns(&cache->clock);
    return u64_min(extend_all(cache, now_ns), send_owed(cache, now_ns));
}
