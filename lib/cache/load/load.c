// SPDX-License-Identifier: MIT
/*
 * The loop that steps a flight; and GET, LEASE, WAIT: does anybody have the key, or may this flight
 * load it.
 *
 *   GET     plain GET (2.9 us for a lease script on a hit, 0.7 us for a GET: so GET first, but in
 *           a space that seldom finds a value in L2: odds.h)
 *   LEASE   names the value it saw and does not want; gets another value, the lease, or "held"
 *   WAIT    another process loads: sleep until its fill, an invalidation, the end of its lease
 *
 * Any trouble with L2 leads to LOAD without a lease: the value then enters L1 only. The flight's
 * deadline may come in any state; an answer that is outstanding then finds the flight landed.
 */
#include "cache/load/load.h"

#include "cache/latency.h"
#include "cache/load/crew.h"
#include "cache/load/parts.h"
#include "cache/value/freshness.h"
#include "cache/space_l1.h"

struct flight_join load_join_of(struct nigh_space *space, const struct l1_key *key, uint64_t ticket)
{
    const struct nigh *cache = space->cache;
    return (struct flight_join){
        .key = cache_flight_key(space, key),
        .ticket = ticket,
        .key_floor_ok = l1_key_floor(cache->l1, key),
        .deadline_ns = clock_deadline_ns(&cache->clock, space->rules.load_deadline_ms),
        .waiters_max = space->rules.waiters_max,
    };
}

void load_init(struct nigh_space *space, struct flight *f, const struct nigh_call *call,
               bool answer_stale)
{
    struct nigh *cache = space->cache;
    struct load *l = f->room;
    l->flight = f;
    l->space = space;
    l->key = (struct l1_key){f->key, f->key_len, space->id, f->hash};
    if (cache->coherence)
        l->position = coherence_position(cache->coherence);
    if (call)
        l->call = *call;
    l->call.miss = NULL;
    l->call.tags = NULL;
    l->call.tag_count = 0;
    l->answer_stale = answer_stale;
    l->fill.cache = cache;
    l->fill.answered = load_answered;
    l->fill.key = f->key;
    l->fill.key_len = f->key_len;
    l->fill.deadline_ns = f->deadline_ns;
    f->work = l;
}

void load_free(void *arg, struct flight *f)
{
    struct load *l = f->work;
    (void)arg;
    if (f->result)
        l1_entry_unref(f->result);
    if (!l)
        return;
    load_uncount_behind(l);
    load_release_lease(l); /* still held by a load that flight_abandon() gave up */
    if (l->answer)
        l2_answer_free(l->answer);
    if (l->parts)
        parts_end(l);
    if (l->stale)
        l1_entry_unref(l->stale);
    if (l->fresh)
        l1_entry_unref(l->fresh);
    if (l->fill.previous)
        l1_entry_unref(l->fill.previous);
    fill_reset(&l->fill);
}

/* ---- requests ---- */

static uint64_t request_deadline_ns(const struct load *l)
{
    const struct nigh *cache = l->space->cache;
    bool waited_for = l->stale && !l->flight->background;
    uint32_t ms = cache_read_ms(waited_for ? &cache->l2_stale_deadline_ms : &cache->l2_deadline_ms);
    return u64_min(clock_deadline_ns(&cache->clock, ms), l->flight->deadline_ns);
}

/* Describes a request; a leader, who waits for its answer anyway, lends his thread to it. */
static struct l2_op op_of(struct load *l, struct l2_sync *sync)
{
    flight_ref(l->flight);
    return l2_lend(sync, &l->space->cache->env, flight_lent_until_ns(l->flight),
                   l2_op_of(request_deadline_ns(l), load_replied, l->flight));
}

/* Waits for an answer where that is quicker than to be woken; it is posted all the same. */
static enum load_next sent(struct l2_sync *sync)
{
    l2_drive(sync);
    return NEXT_REST;
}

/* Go on without L2, as a request could not be made. */
static enum load_next unasked(struct load *l)
{
    flight_unref(l->flight);
    stats_count(&l->space->stats, STATS_L2_ERROR);
    return NEXT_LOAD;
}

/*
 * Between its caller's look at L1 and the start of this flight another one may have landed, and
 * left its value there. Without a second look that value would be loaded once more: the third
 * caller of golang#31420. From here on no other flight of the key lands.
 *
 * The entry must be above the key's floor: one that is about to be removed would pass for as new as
 * the flight's ticket, which may be the very position of that removal.
 */
static bool found_in_l1(struct load *l)
{
    struct nigh *cache = l->space->cache;
    enum verdict verdict = VERDICT_GONE;
    int outcome = NIGH_MISS;
    if (l->call.flags & NIGH_REFRESH)
        return false;
    struct moment moment = freshness_moment(cache);
    rcu_enter();
    struct l1_entry *e = space_l1_find_rcu(l->space, &l->key);
    if (e && l1_key_current(cache->l1, &l->key, l1_entry_stamp(e)))
        verdict = freshness_verdict(cache, e, &moment);
    if (verdict >= VERDICT_LEARNT) /* else a load can bring something better */
        outcome = verdict_outcome(verdict, l1_entry_absent(e),
                                  freshness_acceptable(e, &l->call, moment.now_ns));
    if (outcome != NIGH_MISS)
        l1_entry_ref(e);
    rcu_leave();
    l->l1_empty = !e;
    if (outcome == NIGH_MISS)
        return false;
    load_land_with(l, outcome, e, NIGH_TIER_L1);
    return true;
}

/*
 * Whether to ask for the lease at once: the answer is the value, if one is there. A GET goes first
 * where L2 is likely to have it; and where it may have what is not wanted, as when a stale value is
 * refreshed; and if the last load has failed, for that must not hide what another node has loaded
 * since.
 */
static bool leases_first(const struct load *l)
{
    int error;
    return odds_are_low(&l->space->odds) && l->answer_stale && l->space->loader &&
           !load_key_failed(l->space, &l->key, &error);
}

static enum load_next ask_value(struct load *l)
{
    if (found_in_l1(l))
        return NEXT_LAND;
    if (l->known != LOAD_KNOWS_NOTHING) {
        l->looked = true;
        return l->known == LOAD_KNOWS_MISS ? NEXT_LEASE : NEXT_LOAD;
    }
    if (leases_first(l))
        return NEXT_LEASE;
    if (!lookup_l2_usable(l->space, &l->key))
        return NEXT_LOAD;
    if (crew_asks_value(l))
        return NEXT_REST;
    struct l2_key key = cache_l2_key(l->space, l->key.data, l->key.len);
    struct l2_sync sync;
    struct l2_op op = op_of(l, &sync);
    return l2_get(l->space->cache->l2, &key, &op) == 0 ? sent(&sync) : unasked(l);
}

static void note_lease_first(struct load *l)
{
    if (!l->looked)
        stats_count(&l->space->stats, STATS_LEASE_FIRST);
}

static enum load_next ask_lease(struct load *l)
{
    struct nigh *cache = l->space->cache;
    if (l->flight->state != FLIGHT_LEASE)
        flight_enter(l->flight, FLIGHT_LEASE);
    if (load_failed_lately(l))
        return load_land_stale(l, NIGH_ELOADER);
    if (l->lease_tries >= LOAD_LEASE_TRIES || !lookup_l2_usable(l->space, &l->key))
        return NEXT_LOAD;
    l->heard = false;
    load_look_anew(l);
    l->token = coherence_token(cache->coherence);
    if (crew_asks_lease(l)) {
        l->lease = LOAD_LEASE_ASKED;
        note_lease_first(l);
        return NEXT_REST;
    }
    struct l2_lease lease = {l->token, l->rejected, leases_time_ms(l->space), l->unreadable};
    struct l2_key key = cache_l2_key(l->space, l->key.data, l->key.len);
    struct l2_sync sync;
    struct l2_op op = op_of(l, &sync);
    if (l2_lease(cache->l2, &key, &lease, &op) != 0)
        return unasked(l);
    l->lease = LOAD_LEASE_ASKED;
    note_lease_first(l);
    return sent(&sync);
}

/* ---- what L2 said ---- */

/* Whether this flight may be answered with a fresh value that L2 had. */
static bool wanted(const struct load *l, const struct l1_entry *e)
{
    uint64_t now_ns = clock_coarse_ns(&l->space->cache->clock);
    bool seen_before = !l->looked && (l->call.flags & NIGH_REFRESH);
    return !seen_before && freshness_acceptable(e, &l->call, now_ns);
}

static void keep_stale(struct load *l, struct l1_entry *e)
{
    if (l->stale)
        l1_entry_unref(l->stale);
    l->stale = e;
    l->stale_tier = NIGH_TIER_L2;
}

/* Show an old value to the loader; takes the reference. */
static void show_to_loader(struct load *l, struct l1_entry *e)
{
    if (l->fill.previous)
        l1_entry_unref(l->fill.previous);
    l->fill.previous = e;
}

/* Keep a value of L2 that is no answer: it may do should the load fail, or help the loader. */
static void keep_found(struct load *l, const struct lookup *found)
{
    if (!found->entry)
        return;
    if (found->verdict == VERDICT_KEPT)
        show_to_loader(l, found->entry);
    else if (l1_entry_absent(found->entry))
        l1_entry_unref(found->entry);
    else
        keep_stale(l, found->entry);
}

/* Note whether the flight's first look at L2 has answered it. */
static void note_look(struct load *l, bool answered)
{
    if (!l->looked && l->answer_stale)
        odds_note(&l->space->odds, answered);
    l->looked = true;
}

/* Note that another has the lease, or now we: so no value is there. */
static void note_nothing(struct load *l, bool unreadable)
{
    if (!l->looked)
        stats_count(&l->space->stats, unreadable ? STATS_ENVELOPE_BAD : STATS_L2_MISS);
    note_look(l, false);
}

/* Look at the value in an answer: land with it, if that will do; else go on to the lease. */
static enum load_next look(struct load *l, const struct l2_answer *answer)
{
    struct lookup found;
    int rc = lookup_answer(l->space, &l->key, l->flight->ticket, answer, l->refreshes, &found);
    if (rc != 0)
        return load_land_with(l, rc, NULL, NIGH_TIER_NONE);
    l->rejected = found.fill_id;
    l->unreadable = found.bad && !l2_envelope_foreign(answer->value);
    int outcome = NIGH_MISS;
    if (found.entry)
        outcome = verdict_outcome(found.verdict, l1_entry_absent(found.entry),
                                  wanted(l, found.entry));
    bool answers = outcome != NIGH_MISS && (outcome != NIGH_STALE || l->answer_stale);
    note_look(l, answers);
    if (!answers) {
        keep_found(l, &found);
        return NEXT_LEASE;
    }
    if (found.storable && !(l->call.flags & NIGH_NO_STORE))
        lookup_store(l->space, &l->key, found.entry);
    l->refresh_behind = outcome == NIGH_STALE;
    return load_land_with(l, outcome, found.entry, NIGH_TIER_L2);
}

/* Whether an answer about many keys says nothing of this one: so it is to be asked for alone. */
static bool says_nothing(struct load *l, const struct l2_answer *answer)
{
    bool refused = answer->status == NIGH_EREDIS && !l2_takes_many(l->space->cache->l2);
    bool left = answer->status == 0 && answer->verdict == L2_LEFT;
    bool was_alone = l->alone;
    l->alone = l->alone || left || refused;
    return l->alone && !was_alone;
}

static enum load_next got(struct load *l, const struct l2_answer *answer)
{
    latency_note(l->space, STATS_LATENCY_L2, answer->took_ns);
    if (says_nothing(l, answer))
        return NEXT_GET;
    if (answer->status == 0)
        return look(l, answer);
    stats_count(&l->space->stats, STATS_L2_ERROR);
    return NEXT_LOAD;
}

/* Watch another's lease by an answer about it: was it extended since it was first looked at? */
static void watch_lease(struct load *l, uint64_t now_ns, uint64_t held_ns)
{
    struct load_watch *w = &l->watch;
    uint64_t ends_ns = now_ns + held_ns, slack_ns = held_ns / 5;
    bool extended = w->ends_ns != 0 && ends_ns > w->ends_ns + slack_ns;
    bool other = w->ends_ns != 0 && ends_ns + slack_ns < w->ends_ns;
    if (extended)
        w->alive_ns = now_ns + held_ns / 3 * 2;
    if (w->ends_ns == 0 || extended || other)
        w->ends_ns = ends_ns;
}

/*
 * Until when to wait for another's lease, which has `held_ms` left; 0: not at all.
 *
 * To its end, if that leaves 3/8 of a flight's time for a load. It does where all nodes have the
 * same settings, for the time of a lease is half of that at most. Beyond that only for a load that
 * is seen to live: it extends its lease at each third of the lease's time, so at any moment within
 * half of what is left of it, and has done so when the lease is asked for again after two thirds.
 * The lease of a dead load is not extended, nor is that of a ticket or a writer.
 */
static uint64_t wait_until_ns(struct load *l, uint32_t held_ms)
{
    uint64_t now_ns = clock_now_ns(&l->space->cache->clock);
    uint64_t held_ns = (held_ms + UINT64_C(1)) * NS_PER_MS;
    uint64_t reserve_ns = l->space->rules.load_deadline_ms * NS_PER_MS / 8 * 3;
    uint64_t turn_ns = l->flight->deadline_ns - reserve_ns;
    watch_lease(l, now_ns, held_ns);
    if (now_ns < l->watch.alive_ns)
        return l->watch.alive_ns;
    return now_ns < turn_ns ? u64_min(now_ns + held_ns, turn_ns) : 0;
}

static enum load_next wait_for_fill(struct load *l, uint32_t held_ms)
{
    stats_count(&l->space->stats, STATS_LEASE_HELD);
    /* the fill may have come while the answer was on its way */
    if (l->heard || tickets_give_back_orphans(l->space, &l->key))
        return NEXT_LEASE;
    uint64_t due_ns = wait_until_ns(l, held_ms);
    if (due_ns == 0) {
        stats_count(&l->space->stats, STATS_LEASE_PASSED_BY);
        return NEXT_LOAD;
    }
    flight_enter(l->flight, FLIGHT_WAIT);
    atomic_store_explicit(&l->flight->due_ns, due_ns, memory_order_relaxed);
    service_poke(&l->space->cache->keeper); /* the keeper's next visit may be later */
    return NEXT_REST;
}

static enum load_next lease_answered(struct load *l, const struct l2_answer *answer)
{
    latency_note(l->space, STATS_LATENCY_L2, answer->took_ns);
    if (answer->status != 0) {
        stats_count(&l->space->stats, STATS_L2_ERROR);
        load_release_lease(l); /* the lease may have been granted, or be yet */
        return NEXT_LOAD;
    }
    coherence_note(l->space->cache->coherence, answer);
    if (says_nothing(l, answer))
        return NEXT_LEASE;
    l->lease = answer->verdict == L2_GRANTED ? LOAD_LEASE_OURS : LOAD_LEASE_NONE;
    switch (answer->verdict) {
    case L2_GRANTED:
        stats_count(&l->space->stats, STATS_LEASE_GRANTED);
        l->connection = answer->connection;
        l->home = answer->home;
        note_nothing(l, answer->unreadable);
        return NEXT_LOAD;
    case L2_HELD:
        note_nothing(l, false);
        return wait_for_fill(l, answer->held_ms);
    default:
        l->lease_tries += l->looked;
        return look(l, answer);
    }
}

/* ---- the machine ---- */

/* Begin the flight, run its loader, or take what the loader has answered. */
static enum load_next started(struct load *l, uint32_t events)
{
    enum flight_state state = l->flight->state;
    if ((events & FLIGHT_EV_ANSWER) || (state == FLIGHT_LOAD && (events & FLIGHT_EV_START)))
        return load_continue(l, events);
    return state == FLIGHT_GET && (events & FLIGHT_EV_START) ? NEXT_GET : NEXT_REST;
}

/* Give back a lease that a crew has asked for: perhaps only after the flight had landed, and had
 * given it back. If it was not asked for at all (NIGH_ENOMEM) there is none. */
static void give_back_late(struct load *l, const struct l2_answer *part)
{
    if (part->status == NIGH_ENOMEM || (part->status == 0 && part->verdict != L2_GRANTED))
        return;
    l->lease = LOAD_LEASE_ASKED;
    load_release_lease(l);
}

/* Take an answer that the flight waits for. It comes too late for one that has landed. */
static enum load_next take_answer(struct load *l, const struct l2_answer *answer)
{
    if (l->flight->state == FLIGHT_GET)
        return got(l, answer);
    if (l->flight->state == FLIGHT_LEASE)
        return lease_answered(l, answer);
    return l->flight->state == FLIGHT_FILL ? load_filled(l, answer) : NEXT_REST;
}

static enum load_next take_part(struct load *l, const struct l2_answer *part)
{
    bool leases = l->parts && l->parts->about == PARTS_LEASES;
    if (!leases || l->flight->state == FLIGHT_LEASE)
        return take_answer(l, part);
    give_back_late(l, part);
    return NEXT_REST;
}

/* Take an answer of L2, which is the I/O thread's until its event is taken. */
static enum load_next replied(struct load *l, uint32_t events)
{
    struct l2_answer part, *answer = events & FLIGHT_EV_REPLY ? l->answer : NULL;
    enum load_next next = NEXT_REST;
    if ((events & FLIGHT_EV_REPLY) && parts_take(l, &part)) {
        next = take_part(l, &part);
        parts_end(l);
        return next;
    }
    if (!answer)
        return NEXT_REST;
    l->answer = NULL;
    next = take_answer(l, answer);
    l2_answer_free(answer);
    return next;
}

static enum load_next woken(struct load *l, uint32_t events)
{
    bool wakes = l->heard || (events & FLIGHT_EV_TIMER);
    return wakes && l->flight->state == FLIGHT_WAIT ? NEXT_LEASE : NEXT_REST;
}

static enum load_next overdue(struct load *l, uint32_t events)
{
    if (!(events & FLIGHT_EV_DEADLINE))
        return NEXT_REST;
    load_note_overdue(l);
    return l->flight->state == FLIGHT_LAND ? NEXT_REST : load_land_stale(l, NIGH_ETIMEDOUT);
}

/* Hand a stale value of L2 out before its refresh begins: no flight begins while one of the key
 * flies. */
static enum load_next land(struct load *l)
{
    bool refresh = l->refresh_behind;
    load_land(l);
    if (refresh)
        load_refresh(l->space, &l->key);
    return NEXT_REST;
}

/* Take steps until one rests. If a step does not come back from the loader, nothing is left behind
 * here. */
static void go(struct load *l, enum load_next next)
{
    static enum load_next (*const steps[])(struct load *l) = {
        [NEXT_GET] = ask_value,  [NEXT_LEASE] = ask_lease, [NEXT_LOAD] = load_run,
        [NEXT_FILL] = load_fill, [NEXT_LAND] = land,
    };
    while (next != NEXT_REST)
        next = steps[next](l);
}

void load_step(void *arg, struct flight *f, uint32_t events)
{
    (void)arg;
    struct load *l = f->work;
    if (events & (FLIGHT_EV_FILLED | FLIGHT_EV_INVALIDATED))
        l->heard = true;
    l->l1_empty = false; /* not any more: another may have put something there since */
    go(l, started(l, events));
    go(l, replied(l, events));
    go(l, woken(l, events));
    go(l, overdue(l, events));
    if (l->crew && f->state != FLIGHT_GET && f->state != FLIGHT_LEASE)
        crew_decide(l);
}

/* ---- flights without a caller ---- */

/* Whether as many flights of the space fly without a caller as may. */
static bool too_many_behind(struct nigh_space *space)
{
    return atomic_load_explicit(&space->behind, memory_order_relaxed) >= space->rules.loads_max;
}

/* Begin a flight without a caller, unless one of the key flies. 0 or NIGH_ENOMEM; *ret_began: it
 * did. One of a crew has had its first step. */
static int begin_behind(struct nigh_space *space, const struct l1_key *key,
                        const struct nigh_call *call, bool answer_stale, struct crew *crew,
                        bool *ret_began)
{
    struct nigh *cache = space->cache;
    struct flight_join join = load_join_of(space, key, l1_ticket(cache->l1));
    struct flight *f;
    join.background = true;
    int role = flight_join(cache->flights, &join, &f);
    *ret_began = role == FLIGHT_LEADER;
    if (role != FLIGHT_LEADER)
        return role == NIGH_EBUSY ? 0 : role;
    load_init(space, f, call, answer_stale);
    ((struct load *)f->work)->behind = true;
    ((struct load *)f->work)->refreshes = !answer_stale;
    atomic_fetch_add_explicit(&space->behind, 1, memory_order_relaxed);
    if (crew)
        crew_add(crew, f->work);
    if (crew)
        flight_begin(f);
    else
        flight_hand_over(f);
    flight_leave(f);
    return 0;
}

/* Whether a stale value is not to be refreshed now. */
static bool spares_refresh(struct nigh_space *space, const struct l1_key *key)
{
    int error;
    if (!space->loader || cache_is_closing(space->cache) ||
        load_key_failed(space, key, &error))
        return true;
    if (!too_many_behind(space))
        return false;
    stats_count(&space->stats, STATS_REFRESH_BUSY);
    return true;
}

void load_refresh(struct nigh_space *space, const struct l1_key *key)
{
    bool began;
    if (spares_refresh(space, key))
        return;
    if (begin_behind(space, key, NULL, false, NULL, &began) == 0 && began)
        stats_count(&space->stats, STATS_REFRESH);
}

int load_behind(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                struct crew *crew)
{
    int error;
    bool refreshes = call->flags & NIGH_REFRESH, began;
    if (cache_is_closing(space->cache))
        return NIGH_ECLOSED;
    if (!space->loader && !lookup_l2_has_values(space))
        return NIGH_MISS;
    if (too_many_behind(space)) {
        stats_count(&space->stats, STATS_LOAD_BUSY);
        return NIGH_EBUSY;
    }
    bool failed = !refreshes && load_key_failed(space, key, &error);
    int rc = begin_behind(space, key, call, !refreshes, crew, &began);
    if (rc != 0)
        return rc;
    stats_count(&space->stats, began ? STATS_FLIGHT_LED : STATS_FLIGHT_JOINED);
    if (failed)
        cache_set_load_error(error);
    return failed ? NIGH_ELOADER : NIGH_PENDING;
}
