// SPDX-License-Identifier: MIT
/*
 * Buffers of stripes, and the writer's round.
 *
 * Times are those of the coarse clock. Within a stripe the order is that of the requests; stripes
 * are merged by time. Of equal times any may come first, but a hit after what it may have hit: its
 * time is the end of a tick of lifetimes.
 *
 * A round is short against the time after which a cache evicts what it holds, and long against a
 * wake: at 1,000 sampled requests a second there are 50 in it. Where buffers become fuller, rounds
 * become shorter. The writer then wakes by itself: to be woken takes a thread that makes requests
 * as long as a hundred of them or more.
 */
#include "cache/recording.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/space.h"

#define ROUND_NS (50 * NS_PER_MS)
#define ROUND_LEAST_NS NS_PER_MS
#define BLOCK_BYTES (2 * (size_t)THREAD_STRIPES * RECORDING_EVENTS * sizeof(struct recording_event))
#define GROUPS_OF_RECORD 4u /* nigh/trace.h */
#define RECORDS_MAX (2 + NIGH_TAGS_MAX / GROUPS_OF_RECORD) /* of one request */
#define TRIES 16u /* for a turn that is held for about as many instructions */
#define TRIES_OF_WRITER 1000u /* ... who leaves the processor to others between two of them */

static uint64_t now_us(const struct recording *r)
{
    return clock_coarse_ns(&r->cache->clock) / 1000;
}

/* ---- a request ---- */

static NIGH_OUTLINED struct recording_stripe *drop(struct recording_stripe *s)
{
    atomic_fetch_add_explicit(&s->dropped, 1, memory_order_relaxed);
    return NULL;
}

/* Returns this thread's stripe, whose turn is taken, with room for so many events: leave() must
 * follow. NULL: they are dropped. */
static struct recording_stripe *enter(struct recording *r, uint32_t count)
{
    struct recording_stripe *s = &r->stripes[thread_stripe()];
    for (unsigned tries = 0; NIGH_UNLIKELY(!turn_take(&s->turn)); tries++)
        if (tries == TRIES)
            return drop(s);
    if (NIGH_LIKELY(s->count + count <= RECORDING_EVENTS))
        return s;
    turn_give(&s->turn);
    return drop(s);
}

/* Leave what was written from events[count] on. The writer is told when a buffer is half full. */
static void leave(struct recording *r, struct recording_stripe *s, uint32_t count)
{
    uint32_t before = s->count;
    s->count = before + count;
    turn_give(&s->turn);
    if (NIGH_UNLIKELY(before < RECORDING_EVENTS / 2 && before + count >= RECORDING_EVENTS / 2) &&
        r->cache->env.own_threads)
        service_poke(&r->writer);
}

static void bear(struct recording *r, uint16_t slot)
{
    atomic_fetch_or_explicit(&r->borne[slot / 64], UINT64_C(1) << slot % 64, memory_order_relaxed);
}

static bool is_borne(const struct recording *r, uint16_t slot)
{
    return slot == GROUP_SLOT_ALL ||
           (atomic_load_explicit(&r->borne[slot / 64], memory_order_relaxed) >> slot % 64 & 1);
}

static uint32_t ms_until(uint64_t until_ns, uint64_t from_ns)
{
    uint64_t ns = until_ns > from_ns ? until_ns - from_ns : 0;
    return (uint32_t)u64_min((ns + NS_PER_MS / 2) / NS_PER_MS, UINT32_MAX);
}

/* Write an event where it is to stay, word by word: on its way through another place the processor
 * would have to wait for each word to arrive there before it reads two of them at once. */
static inline void set_event(struct recording_event *e, uint64_t at_us, uint64_t identity,
                             const struct nigh_space *space, struct sample_event event)
{
    e->at_us = at_us;
    e->record.key = identity;
    e->record.size = event.size;
    e->record.cost_us = event.cost_us;
    e->record.delta_us = 0;
    e->record.space = (uint16_t)space->id;
    e->record.outcome = (uint8_t)event.outcome;
    e->record.op = (uint8_t)event.op;
}

/* Whether requests of the key are recorded. */
static bool takes(const struct recording *r, uint64_t hash)
{
    return l1_mask_marks(r->mark_mask, hash);
}

static uint64_t identity_of(const struct recording *r, const void *key, size_t len)
{
    return space_hash_key(&r->identity, key, len);
}

/* Leave an event, and ask for the line that the one after the next goes to: a buffer is larger than
 * the processor's nearest caches, and the next locked instruction would wait for the line. Inline,
 * for the sake of hits. */
static inline void add(struct recording *r, uint64_t at_us, uint64_t identity,
                       const struct nigh_space *space, struct sample_event event)
{
    struct recording_stripe *s = enter(r, 1);
    if (NIGH_UNLIKELY(!s))
        return;
    set_event(&s->events[s->count], at_us, identity, space, event);
    __builtin_prefetch(&s->events[(s->count + 2) % RECORDING_EVENTS], 1);
    leave(r, s, 1);
}

/* Whether hits of a marked key are recorded. Where there have never been more marks than the
 * recording wants, they all are, and it is not hashed again. */
static bool takes_marked(const struct recording *r, const struct nigh_space *space,
                         struct bytes name)
{
    return NIGH_LIKELY(r->mark_mask == l1_mark_mask_least(space->cache->l1)) ||
           takes(r, l1_hash(&space->l1, name.data, name.len));
}

void recording_add_hit(struct recording *r, const struct nigh_space *space,
                       const struct l1_entry *e, enum nigh_trace_outcome outcome, uint64_t now)
{
    struct bytes name = l1_entry_key(e);
    if (!takes_marked(r, space, name))
        return;
    uint32_t size = (uint32_t)l1_entry_value(e).len;
    add(r, (l1_ticks_ns(now + 1) - 1) / 1000, identity_of(r, name.data, name.len), space,
        (struct sample_event){NIGH_TRACE_READ, outcome, size, 0});
}

void recording_add(struct recording *r, const struct nigh_space *space, const struct l1_key *key,
                   struct sample_event event)
{
    if (takes(r, key->hash))
        add(r, now_us(r), identity_of(r, key->data, key->len), space, event);
}

/* Begin another event of the same key. It has the same time, so that the writer, who merges by
 * time, puts no other stripe's between them. */
static struct recording_event event_beside(const struct recording_event *first)
{
    return (struct recording_event){
        first->at_us, {.key = first->record.key, .space = first->record.space}};
}

/* Say of a value how long it lives. */
static void set_life(struct nigh_trace_record *q, const struct l1_value *value, uint64_t now_ns)
{
    q->op = NIGH_TRACE_LIFE;
    q->size = ms_until(value->fresh_until_ns, now_ns);
    q->cost_us = ms_until(value->stale_until_ns, u64_max(value->fresh_until_ns, now_ns));
}

/* Say of a value which groups it belongs to, from the one at `at` on: four at most. */
static void set_groups(struct recording *r, struct nigh_trace_record *q,
                       const struct l1_value *value, uint32_t at)
{
    uint32_t four[GROUPS_OF_RECORD] = {0};
    for (uint32_t i = 0; i < GROUPS_OF_RECORD && at + i < value->group_count; i++) {
        four[i] = value->groups[at + i];
        bear(r, value->groups[at + i]);
    }
    q->op = NIGH_TRACE_GROUPS;
    q->size = four[0] | four[1] << 16;
    q->cost_us = four[2] | four[3] << 16;
}

void recording_add_value(struct recording *r, const struct nigh_space *space,
                         const struct l1_key *key, struct sample_event event,
                         const struct l1_value *value)
{
    struct recording_event events[RECORDS_MAX];
    uint32_t count = 2;
    if (!takes(r, key->hash))
        return;
    set_event(&events[0], now_us(r), identity_of(r, key->data, key->len), space, event);
    events[1] = event_beside(&events[0]);
    set_life(&events[1].record, value, clock_coarse_ns(&r->cache->clock));
    for (uint32_t at = 0; at < value->group_count; at += GROUPS_OF_RECORD) {
        events[count] = event_beside(&events[0]);
        set_groups(r, &events[count++].record, value, at);
    }
    bear(r, (uint16_t)space->l1.group_slot);
    struct recording_stripe *s = enter(r, count);
    if (!s)
        return;
    memcpy(s->events + s->count, events, count * sizeof(*events));
    leave(r, s, count);
}

void recording_add_group(struct recording *r, uint16_t slot, bool soft)
{
    if (!is_borne(r, slot))
        return;
    struct recording_stripe *s = enter(r, 1);
    if (!s)
        return;
    s->events[s->count] = (struct recording_event){now_us(r), {
        .key = slot,
        .op = NIGH_TRACE_GROUP,
        .outcome = soft ? NIGH_TRACE_STALE : NIGH_TRACE_FRESH,
    }};
    leave(r, s, 1);
}

/* ---- the writer ---- */

/* Take a stripe's turn to change its buffer. False: its thread was stopped in the middle of an
 * event, and the buffer comes with the next round. */
static bool take_turn(struct recording_stripe *s)
{
    for (unsigned tries = 0; tries < TRIES_OF_WRITER; tries++) {
        if (turn_take(&s->turn))
            return true;
        sched_yield();
    }
    return false;
}

/* Change all stripes' buffers for empty ones. Returns how many requests were dropped so far. */
static uint64_t take_buffers(struct recording *r)
{
    uint64_t dropped = 0;
    for (uint32_t i = 0; i < THREAD_STRIPES; i++) {
        struct recording_stripe *s = &r->stripes[i];
        dropped += atomic_load_explicit(&s->dropped, memory_order_relaxed);
        r->taken[i] = 0;
        if (!take_turn(s))
            continue;
        r->taken[i] = s->count;
        if (s->count > 0) {
            struct recording_event *full = s->events;
            s->events = r->spare[i];
            r->spare[i] = full;
            s->count = 0;
        }
        turn_give(&s->turn);
    }
    return dropped;
}

/* Name the spaces that were opened since the last round: before any of their requests. */
static void name_spaces(struct recording *r)
{
    uint32_t count = space_count(r->cache);
    for (; r->spaces_named < count; r->spaces_named++) {
        const struct nigh_space *space = r->cache->spaces[r->spaces_named];
        struct bytes name = bytes_of(space->name, space->name_len);
        r->name_hashes[space->id] = hash_bytes(name);
        trace_file_add_space(&r->file, (uint16_t)space->id, name,
                             (uint16_t)space->l1.group_slot);
    }
}

/* Events of a stripe that are not written yet; not empty. */
struct run {
    const struct recording_event *next, *end;
};

static uint32_t find_runs(const struct recording *r, struct run *ret)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < THREAD_STRIPES; i++)
        if (r->taken[i] > 0)
            ret[count++] = (struct run){r->spare[i], r->spare[i] + r->taken[i]};
    return count;
}

/* Returns the run whose next event is the oldest, and when that of another one begins. */
static uint32_t oldest(const struct run *runs, uint32_t count, uint64_t *ret_until_us)
{
    uint32_t best = 0;
    *ret_until_us = UINT64_MAX;
    for (uint32_t i = 1; i < count; i++) {
        bool older = runs[i].next->at_us < runs[best].next->at_us;
        *ret_until_us = u64_min(*ret_until_us, runs[older ? best : i].next->at_us);
        best = older ? i : best;
    }
    return best;
}

static bool write_event(struct recording *r, const struct recording_event *e)
{
    struct nigh_trace_record record = e->record;
    record.key ^= r->name_hashes[record.space];
    return trace_file_add(&r->file, record, e->at_us);
}

/* Write what was taken, by time. Returns how many records. */
static uint64_t write_taken(struct recording *r)
{
    struct run runs[THREAD_STRIPES];
    uint32_t count = find_runs(r, runs);
    uint64_t written = 0, until_us;
    while (count > 0) {
        struct run *run = &runs[oldest(runs, count, &until_us)];
        do {
            if (!write_event(r, run->next))
                return written;
            written++;
            run->next++;
        } while (run->next < run->end && run->next->at_us <= until_us);
        if (run->next == run->end)
            *run = runs[--count];
    }
    return written;
}

/* Count the reads that L1 was asked for, of any keys. No space is older than the recording. */
static uint64_t reads_of_all(const struct nigh *cache)
{
    static const enum stats_counter counters[] = {STATS_L1_FRESH, STATS_L1_STALE, STATS_L1_MISS};
    uint64_t sum = 0;
    for (uint32_t i = space_count(cache); i-- > 0;)
        for (uint32_t c = 0; c < ARRAY_COUNT(counters); c++)
            sum += stats_read(&cache->spaces[i]->stats, counters[c]);
    return sum;
}

/* Count the reads of a round, of which so many events were written: a file that was full in its
 * middle has the reads of as large a part. */
static void count_reads(struct recording *r, uint64_t now, uint64_t recorded)
{
    uint64_t taken = 0;
    for (uint32_t i = 0; i < THREAD_STRIPES; i++)
        taken += r->taken[i];
    r->reads = recorded == taken ? now : r->reads + (now - r->reads) * recorded / taken;
}

/* Say once that the recording has ended, and stop. */
static void note_end(struct recording *r)
{
    struct log *log = r->cache->env.log;
    atomic_fetch_and_explicit(&r->cache->sample.wanted, ~(uint32_t)SAMPLE_FOR_TRACE,
                              memory_order_relaxed);
    if (r->file.error)
        LOG(log, NIGH_LOG_WARN, "the recording has ended: %s", strerrordesc_np(r->file.error));
    else
        LOG(log, NIGH_LOG_INFO, "the recording has ended: it has trace.size");
    r->ended = true;
}

static void run_round(struct recording *r)
{
    uint64_t dropped = take_buffers(r);
    if (r->ended)
        return;
    uint64_t reads = reads_of_all(r->cache);
    name_spaces(r);
    uint64_t recorded = write_taken(r);
    count_reads(r, reads, recorded);
    if (!trace_file_flush(&r->file, dropped, r->reads))
        note_end(r);
    stats_add(&r->cache->stats, STATS_TRACE_RECORDED, recorded);
    stats_add(&r->cache->stats, STATS_TRACE_DROPPED, dropped - r->dropped);
    r->dropped = dropped;
}

/* Returns in how many nanoseconds the next round begins: so that buffers are between a sixteenth
 * and a quarter full then, while the traffic stays as it is. */
static uint64_t pause_after(struct recording *r)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < THREAD_STRIPES; i++)
        most = r->taken[i] > most ? r->taken[i] : most;
    if (most > RECORDING_EVENTS / 4)
        r->pause_ns = u64_max(r->pause_ns / 2, ROUND_LEAST_NS);
    else if (most < RECORDING_EVENTS / 16)
        r->pause_ns = u64_min(r->pause_ns * 2, ROUND_NS);
    return r->pause_ns;
}

static uint64_t write_round(void *arg)
{
    struct recording *r = arg;
    run_round(r);
    return r->ended ? CLOCK_NEVER_NS : clock_now_ns(&r->cache->clock) + pause_after(r);
}

void recording_turn(struct nigh *cache)
{
    struct recording *r = cache->recording;
    if (!r || !turn_take(&r->turn))
        return;
    run_round(r);
    turn_give(&r->turn);
}

/* ---- beginning and end ---- */

static int allocate(struct nigh *cache)
{
    struct recording *r = aligned_alloc(CACHE_LINE_BYTES, sizeof(*r));
    if (!r)
        return NIGH_ENOMEM;
    memset(r, 0, sizeof(*r));
    r->cache = cache;
    r->block = mem_alloc(cache->env.mem, NULL, BLOCK_BYTES);
    for (uint32_t i = 0; r->block && i < THREAD_STRIPES; i++) {
        r->stripes[i].events = r->block + (size_t)(2 * i) * RECORDING_EVENTS;
        r->spare[i] = r->block + (size_t)(2 * i + 1) * RECORDING_EVENTS;
    }
    cache->recording = r;
    return r->block ? 0 : NIGH_ENOMEM;
}

int recording_open(struct nigh *cache, const struct nigh_options *o)
{
    if (!recording_wants(o))
        return 0;
    int rc = allocate(cache);
    if (rc != 0)
        return rc;
    struct recording *r = cache->recording;
    r->mark_mask = o->trace_sample - 1;
    r->pause_ns = ROUND_NS;
    hash_init(&r->unseeded, HASH_XXH3, 0, 0);
    space_hash_init(&r->identity, &r->unseeded, 0);
    rc = trace_file_open(&r->file, o->trace_file, o->trace_size, o->trace_sample, o->l1_memory,
                         now_us(r));
    if (rc == 0)
        rc = service_start(&r->writer, &cache->env, "nigh-trace", write_round, r);
    if (rc == 0)
        atomic_fetch_or_explicit(&cache->sample.wanted, SAMPLE_FOR_TRACE, memory_order_relaxed);
    return rc;
}

void recording_close(struct nigh *cache)
{
    struct recording *r = cache->recording;
    if (!r)
        return;
    atomic_fetch_and_explicit(&cache->sample.wanted, ~(uint32_t)SAMPLE_FOR_TRACE,
                              memory_order_relaxed);
    service_stop(&r->writer);
    if (r->file.fd)
        run_round(r);
    r->ended = true;
    trace_file_close(&r->file);
}

void recording_destroy(struct nigh *cache)
{
    struct recording *r = cache->recording;
    if (!r)
        return;
    mem_free(cache->env.mem, NULL, r->block, BLOCK_BYTES);
    free(r);
}
