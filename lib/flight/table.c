// SPDX-License-Identifier: MIT
/*
 * The table of flights: from a key to the flight that brings it.
 *
 * Invariant: of the records of a key in a chain at most one, the newest, can be joined; the others
 * are `forgotten`. A forgotten one stays until it lands, since its callers still wait for it and so
 * its timers must fire and notices must reach it. A landing removes its own record, not "the record
 * of the key": that is how golang#31420 lost the newer flight to the older one's landing.
 *
 * A shard lock is held for a walk of a chain, an allocation, and the futex wake of a parked holder;
 * never for a step, host->run or a park. Flights that a walk under the lock brings into our hands
 * are linked through run_next (the host uses it only after run()) and handed over after the unlock.
 */
#include "flight/table.h"

#include "flight/deadlock.h"
#include "flight/mailbox.h"

static uint32_t shards_wanted(void)
{
    uint32_t wanted = FLIGHT_SHARDS_PER_CPU * cgroup_cpus_usable(""), shards = FLIGHT_SHARDS_LEAST;
    while (shards < wanted && shards < FLIGHT_SHARDS_MOST)
        shards *= 2;
    return shards;
}

static size_t shards_bytes(const struct flight_table *table)
{
    return (table->shard_mask + 1u) * sizeof(*table->shards);
}

int flight_table_create(const struct flight_table_config *config, struct flight_table **ret_table)
{
    int error = flight_graph_init();
    if (error)
        return error;
    struct flight_table *table = mem_lines_alloc_zero(config->env->mem, sizeof(*table));
    if (!table)
        return NIGH_ENOMEM;
    table->env = config->env;
    table->host = config->host;
    table->shard_mask = shards_wanted() - 1;
    table->shards = mem_lines_alloc_zero(table->env->mem, shards_bytes(table));
    if (!table->shards) {
        mem_lines_free(table->env->mem, table, sizeof(*table));
        return NIGH_ENOMEM;
    }
    for (unsigned i = 0; i <= table->shard_mask; i++)
        pthread_mutex_init(&table->shards[i].lock, NULL);
    *ret_table = table;
    return 0;
}

void flight_table_destroy(struct flight_table *table)
{
    NIGH_CHECK(flight_count(table) == 0);
    /* A landed flight that somebody still refers to would be used after its table is gone. */
    NIGH_DCHECK(atomic_load_explicit(&table->records, memory_order_relaxed) == 0);
    flight_spares_free(table);
    for (unsigned i = 0; i <= table->shard_mask; i++)
        pthread_mutex_destroy(&table->shards[i].lock);
    mem_lines_free(table->env->mem, table->shards, shards_bytes(table));
    mem_lines_free(table->env->mem, table, sizeof(*table));
}

struct flight_shard *flight_shard_of(struct flight_table *table, uint64_t hash)
{
    return &table->shards[hash & table->shard_mask];
}

/* Names, for REQUIRES alone, the lock of a flight's shard. */
#define SHARD_LOCK(f) (flight_shard_of((f)->table, (f)->hash)->lock)

static struct flight **chain_of(struct flight_shard *shard, uint64_t hash)
{
    return &shard->chains[hash / FLIGHT_SHARDS_MOST % FLIGHT_CHAINS];
}

uint32_t flight_count(struct flight_table *table)
{
    uint32_t count = 0;
    for (unsigned i = 0; i <= table->shard_mask; i++)
        count += atomic_load_explicit(&table->shards[i].count, memory_order_relaxed);
    return count;
}

/* Changes the count only under the lock, so no RMW. */
static void count_locked(struct flight_shard *shard, uint32_t more) REQUIRES(shard->lock)
{
    uint32_t count = atomic_load_explicit(&shard->count, memory_order_relaxed);
    atomic_store_explicit(&shard->count, count + more, memory_order_relaxed);
}

/* ---- join ---- */

/* The one flight of the key that may still be joined, or NULL. */
static struct flight *find_locked(struct flight_shard *shard, const struct flight_key *key)
    REQUIRES(shard->lock)
{
    for (struct flight *f = *chain_of(shard, key->hash); f; f = f->next)
        if (!f->forgotten && flight_has_key(f, key))
            return f;
    return NULL;
}

static bool is_outdated(const struct flight *f, const struct flight_join *join)
{
    return f->ticket < join->key_floor_ok || clock_now_ns(f->env->clock) >= f->deadline_ns;
}

static void watch_locked(struct flight *f, struct flight_watch *w) REQUIRES(SHARD_LOCK(f))
{
    w->flight = f;
    list_add(&f->watches, &w->link);
}

static int follow_locked(struct flight *f, const struct flight_join *join,
                         struct flight **ret_flight) REQUIRES(SHARD_LOCK(f))
{
    bool again = join->call && join->call == f->call;
    if (join->background || (!join->watch && !again && f->waiters >= join->waiters_max))
        return NIGH_EBUSY;
    if (join->watch)
        watch_locked(f, join->watch);
    else if (!again)
        f->waiters++;
    f->call = join->call;
    flight_ref(f);
    *ret_flight = f;
    return again ? FLIGHT_SHARER : FLIGHT_FOLLOWER;
}

static int start_locked(struct flight_table *table, struct flight_shard *shard,
                        const struct flight_join *join, struct flight **ret_flight)
    REQUIRES(shard->lock)
{
    struct flight *f = flight_create(table, join);
    if (!f)
        return NIGH_ENOMEM;
    struct flight **chain = chain_of(shard, f->hash);
    f->next = *chain;
    *chain = f;
    if (join->watch)
        watch_locked(f, join->watch);
    count_locked(shard, 1);
    *ret_flight = f;
    return FLIGHT_LEADER;
}

static int join_locked(struct flight_table *table, struct flight_shard *shard,
                       const struct flight_join *join, struct flight **ret_flight)
    REQUIRES(shard->lock)
{
    struct flight *f = find_locked(shard, &join->key);
    if (f && !is_outdated(f, join))
        return follow_locked(f, join, ret_flight);
    int role = start_locked(table, shard, join, ret_flight);
    if (f && role == FLIGHT_LEADER)
        f->forgotten = true;
    return role;
}

int flight_join(struct flight_table *table, const struct flight_join *join,
                struct flight **ret_flight)
{
    if (!join->background && flight_loads_key(&join->key))
        return NIGH_EDEADLK;
    struct flight_shard *shard = flight_shard_of(table, join->key.hash);
    pthread_mutex_lock(&shard->lock);
    int role = join_locked(table, shard, join, ret_flight);
    pthread_mutex_unlock(&shard->lock);
    return role;
}

void flight_renew(struct flight *f, uint64_t ticket)
{
    struct flight_shard *shard = flight_shard_of(f->table, f->hash);
    pthread_mutex_lock(&shard->lock);
    f->ticket = ticket;
    pthread_mutex_unlock(&shard->lock);
}

uint32_t flight_table_remove(struct flight *f)
{
    struct flight_shard *shard = flight_shard_of(f->table, f->hash);
    pthread_mutex_lock(&shard->lock);
    struct flight **link = chain_of(shard, f->hash);
    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
    f->landing = true;
    uint32_t callers = f->waiters;
    count_locked(shard, -1u);
    pthread_mutex_unlock(&shard->lock);
    return callers;
}

bool flight_unwatch(struct flight_watch *w)
{
    struct flight *f = w->flight;
    struct flight_shard *shard = flight_shard_of(f->table, f->hash);
    pthread_mutex_lock(&shard->lock);
    bool ours = !f->landing;
    if (ours)
        list_remove(&w->link);
    pthread_mutex_unlock(&shard->lock);
    return ours;
}

/* ---- looking ---- */

static uint32_t count_watches_locked(const struct flight *f)
{
    uint32_t count = 0;
    for (const struct list_link *at = f->watches.first; at; at = at->next)
        count++;
    return count;
}

bool flight_look(struct flight_table *table, const struct flight_key *key,
                 struct flight_seen *ret_seen)
{
    struct flight_shard *shard = flight_shard_of(table, key->hash);
    pthread_mutex_lock(&shard->lock);
    const struct flight *f = find_locked(shard, key);
    if (f)
        *ret_seen = (struct flight_seen){
            .state = atomic_load_explicit(&f->shown, memory_order_relaxed),
            .loading = atomic_load_explicit(&f->leader, memory_order_relaxed) != 0,
            .background = f->background,
            .waiters = f->waiters,
            .watches = count_watches_locked(f),
            .ticket = f->ticket,
            .deadline_ns = f->deadline_ns,
        };
    pthread_mutex_unlock(&shard->lock);
    return f;
}

/* ---- notices and timers ---- */

/* Flights that a walk took HELD of, to be handed over when the lock is released. */
struct taken {
    struct flight *first;
};

static void taken_add(struct taken *taken, struct flight *f)
{
    f->run_next = taken->first;
    taken->first = f;
}

static void post_locked(struct flight *f, uint32_t events, struct taken *taken)
    REQUIRES(SHARD_LOCK(f))
{
    if (flight_mail_post(f, events))
        taken_add(taken, f);
}

static void taken_run(struct taken *taken)
{
    while (taken->first) {
        struct flight *f = taken->first;
        taken->first = f->run_next;
        f->run_next = NULL;
        flight_give_to_workers(f);
    }
}

void flight_notify(struct flight_table *table, const struct flight_key *key, uint32_t events)
{
    struct taken taken = {NULL};
    struct flight_shard *shard = flight_shard_of(table, key->hash);
    pthread_mutex_lock(&shard->lock);
    for (struct flight *f = *chain_of(shard, key->hash); f; f = f->next)
        if (flight_has_key(f, key))
            post_locked(f, events, &taken);
    pthread_mutex_unlock(&shard->lock);
    taken_run(&taken);
}

/* Call `visit` for every flight of the table, each under its shard lock. */
static void visit_all(struct flight_table *table,
                      void (*visit)(void *arg, struct flight *f, struct taken *taken), void *arg)
{
    for (unsigned i = 0; i <= table->shard_mask; i++) {
        struct flight_shard *shard = &table->shards[i];
        struct taken taken = {NULL};
        pthread_mutex_lock(&shard->lock);
        for (unsigned c = 0; c < FLIGHT_CHAINS; c++)
            for (struct flight *f = shard->chains[c]; f; f = f->next)
                visit(arg, f, &taken);
        pthread_mutex_unlock(&shard->lock);
        taken_run(&taken);
    }
}

static void visit_notify(void *arg, struct flight *f, struct taken *taken)
    REQUIRES(SHARD_LOCK(f))
{
    post_locked(f, *(const uint32_t *)arg, taken);
}

void flight_notify_all(struct flight_table *table, uint32_t events)
{
    visit_all(table, visit_notify, &events);
}

struct tick {
    uint64_t now_ns;
    uint64_t next_ns;
};

/* Whether due_ns has come; it is then cleared, so that one setting makes one event. A holder that
 * sets it anew meanwhile makes the swap fail, and its time is looked at the next time. */
static bool timer_fires(struct flight *f, struct tick *tick)
{
    uint64_t due = atomic_load_explicit(&f->due_ns, memory_order_relaxed);
    if (due <= tick->now_ns &&
        atomic_compare_exchange_strong_explicit(&f->due_ns, &due, CLOCK_NEVER_NS,
                                                memory_order_relaxed, memory_order_relaxed))
        return true;
    tick->next_ns = u64_min(tick->next_ns, due);
    return false;
}

static bool deadline_fires(struct flight *f, struct tick *tick)
{
    if (f->overdue)
        return false;
    f->overdue = f->deadline_ns <= tick->now_ns;
    if (!f->overdue)
        tick->next_ns = u64_min(tick->next_ns, f->deadline_ns);
    return f->overdue;
}

static void visit_tick(void *arg, struct flight *f, struct taken *taken) REQUIRES(SHARD_LOCK(f))
{
    struct tick *tick = arg;
    uint32_t events = (timer_fires(f, tick) ? FLIGHT_EV_TIMER : 0) |
                      (deadline_fires(f, tick) ? FLIGHT_EV_DEADLINE : 0);
    if (events)
        post_locked(f, events, taken);
    /* Callers that have not taken it over by now are busy elsewhere. */
    if (flight_landed(f) == FLIGHT_LEADERLESS && flight_take_over(f))
        taken_add(taken, f);
}

uint64_t flight_tick(struct flight_table *table)
{
    struct tick tick = {clock_now_ns(table->env->clock), CLOCK_NEVER_NS};
    visit_all(table, visit_tick, &tick);
    return tick.next_ns;
}
