// SPDX-License-Identifier: MIT
// Many invalidations at once: what waits travels together.
//
// Of what a change costs Redis nine tenths are the script, its log entry and its publication, not
// the names that it deletes. So while UNDER_WAY_MAX scripts of this process are on their way,
// newcomers wait, and are sent as one as soon as one of those is answered. Nobody waits for
// company: a process that has fewer on their way sends at once. The more callers there are, the
// more go together. (A group commit without a leader.)
//
//   PENDING --> SENT --> ANSWERED --> SETTLING --> SETTLED    accepted: every call returns 0
//      |          |          ^            |------> UNKNOWN    every call queues its own items
//      |          |          |            |------> APART      every call asks once more, alone
//      |          |          |            |
//      |          |          +--- SENT <--+  other schemas: once more, with all names
//      +----------+--> UNKNOWN  could not be sent
//
// - One script is one change: it has one number, one position, one frame, and one local step for
//   all its items, by whichever of the calls sees the answer first; nobody returns before. So its
//   frame is skipped exactly as a single call's is (rule 7): only when all its items are settled.
// - A call that leaves at its deadline queues its own items, then does its own local step, as if
//   it had been alone. Its items stay in the script, and are settled with it all the same: the step
//   of the one who left came before the script, so it cannot stand for the one after it. So items
//   and their names are copies. If all have left nobody settles: the frame is applied.
// - The script may be sent by any of them, by the I/O thread (it brings the answer that others wait
//   for), or by who was alone; so nothing of it belongs to a leader, whose deadline might be near.
//   It ends at the latest deadline of its calls.
// - A caller that was alone, and is kept from running, holds up nobody for long: who has waited for
//   PATIENCE_NS sends what is pending, whatever is under way.
// - An error of Redis may be about one name (an ACL), or about the size: each call then finds out
//   for itself. What was targeted wrongly never gets here: cache/write/invalidate.c.
// - Left alone are: writes, for their values are judged; versions; many items, which are worth a
//   script of their own; who finds the pending script full, or no memory.

#include "coherence/combine.h"

#include "coherence/change.h"
#include "coherence/keeper.h"
#include "coherence/schemas.h"
#include "coherence/state.h"

/* One is at work in Redis while the other is on the wire. In a crowd it is one alone: else half of
 * the callers would be on their way while the other half comes back, in scripts half as large. So
 * it stays for some scripts: small ones come in between. */
#define UNDER_WAY_MAX 2u
#define CROWD_SCRIPTS 8u
/* More than a script takes on a machine that is well; little beside any deadline. */
#define PATIENCE_NS (2 * NS_PER_MS)
/* The one that is woken for an answer may be kept from running: another one looks, each less and
 * less often, for Redis may be stopped and the callers many. */
#define LOOK_NS (5 * NS_PER_MS)
#define LOOK_MOST_NS (80 * NS_PER_MS)
#define CALL_ITEMS_MAX 16u
#define SPARE_MAX 4u

enum { PENDING, SENT, ANSWERED, SETTLING, SETTLED, UNKNOWN, APART };

/* Keys: (b) combine lock  (o) who has set SETTLING, or sends  (d) written before `word` says so */
struct combined {
    struct coherence *coherence;
    _Atomic uint32_t word;    /* (b) futex word: where it stands. pair(coherence.combined) */
    uint32_t calls;           /* (b) have joined */
    uint32_t waiting;         /* (b) ... and have not left */
    uint32_t left_items;      /* (b) items of calls that left at their deadline */
    bool counts;              /* (b) is one of those under way */
    uint64_t due_ns;          /* constant: sent then at the latest */
    uint64_t deadline_ns;     /* (b) the latest of the calls */
    struct l2_answer *answer; /* (d) ANSWERED */
    uint64_t call;            /* (o) as of its script */
    uint64_t nonce;           /* (o) */
    struct coherence_position known; /* (o) */
    uint32_t sent;            /* (o) how often */
    struct combine_outcome outcome; /* (d) SETTLED */
    struct combined *next;    /* (b) among the spare ones */
    uint32_t item_count;      /* (b) until it is sent; constant then */
    uint32_t text_len;        /* (b) */
    struct coherence_item items[COMBINE_ITEMS_MAX];
    uint8_t text[COMBINE_TEXT_BYTES]; /* their names */
};

void coherence_combine_init(struct coherence_combine *m)
{
    pthread_mutex_init(&m->lock, NULL);
}

void coherence_combine_fini(struct coherence_combine *m, struct mem *mem)
{
    NIGH_DCHECK(!m->pending);
    while (m->spare) {
        struct combined *b = m->spare;
        m->spare = b->next;
        mem_free(mem, NULL, b, sizeof(*b));
    }
    pthread_mutex_destroy(&m->lock);
}

/* ---- states ---- */

static uint32_t state_of(const struct combined *b)
{
    /* pair(coherence.combined): what belongs to the state is there */
    return atomic_load_explicit(&b->word, memory_order_acquire);
}

static void set_state_locked(struct combined *b, uint32_t state)
    REQUIRES(b->coherence->combine->lock)
{
    /* pair(coherence.combined): after what belongs to it */
    atomic_store_explicit(&b->word, state, memory_order_release);
}

/* `b` may be retired by now, if all have left; waking nobody does no harm. */
static void wake(struct coherence *c, struct combined *b, int count)
{
    park_wake(c->config.env->park, &b->word, count);
}

/* Keeps it for the next one. Returns what is to be freed, or NULL. */
static struct combined *retire_locked(struct coherence_combine *m, struct combined *b)
    REQUIRES(m->lock)
{
    if (m->spare_count == SPARE_MAX)
        return b;
    b->next = m->spare;
    m->spare = b;
    m->spare_count++;
    return NULL;
}

static void drop(struct coherence *c, struct combined *b)
{
    if (b)
        mem_free(c->config.env->mem, NULL, b, sizeof(*b));
}

/* Counts what was accepted. What a call queued that left counts once that is. */
static void count_locked(const struct combined *b) REQUIRES(b->coherence->combine->lock)
{
    struct stats *stats = b->coherence->config.stats;
    uint32_t items = b->item_count - b->left_items;
    stats_add(stats, STATS_INVALIDATE, items);
    if (b->calls > 1)
        stats_add(stats, STATS_INVALIDATE_COMBINED, items);
}

/* Ends it for all who wait; if nobody does it is retired. */
static void end(struct combined *b, uint32_t state)
{
    struct coherence *c = b->coherence;
    struct coherence_combine *m = c->combine;
    struct combined *dropped = NULL;
    pthread_mutex_lock(&m->lock);
    bool waited = b->waiting > 0;
    if (state == SETTLED)
        count_locked(b);
    set_state_locked(b, state);
    if (!waited)
        dropped = retire_locked(m, b);
    pthread_mutex_unlock(&m->lock);
    if (waited)
        wake(c, b, PARK_ALL);
    drop(c, dropped);
}

/* ---- sending ---- */

static void answered(void *arg, struct l2_answer *answer);

/* Sends what is marked SENT. < 0: it was not. */
static int send(struct combined *b)
{
    struct coherence *c = b->coherence;
    struct coherence_script script;
    NIGH_DCHECK(b->item_count > 0);
    int rc = coherence_script_make(c, b->items, b->item_count, NULL, &script);
    if (rc < 0)
        return rc;
    b->call = script.call;
    b->nonce = script.change.nonce;
    b->known = script.known;
    b->sent++;
    struct l2_op op = l2_op_of(b->deadline_ns, answered, b);
    coherence_keeper_ref(c);
    rc = l2_change(c->config.l2, &script.change, &op); /* `b` may be gone when it returns */
    coherence_script_free(c, &script);
    if (rc < 0)
        coherence_keeper_unref(c);
    return rc;
}

/* Returns how many scripts may be under way before newcomers wait. */
static uint32_t places_locked(const struct coherence_combine *m) REQUIRES(m->lock)
{
    return m->crowd > 0 ? 1 : UNDER_WAY_MAX;
}

/* Notes a script of so many calls. */
static void note_crowd_locked(struct coherence_combine *m, uint32_t calls) REQUIRES(m->lock)
{
    if (calls > UNDER_WAY_MAX)
        m->crowd = CROWD_SCRIPTS;
    else
        m->crowd -= m->crowd > 0;
}

/* Takes what is pending, to be sent. `counts`: as one of those under way. */
static struct combined *take_locked(struct coherence_combine *m, bool counts) REQUIRES(m->lock)
{
    struct combined *b = m->pending;
    m->pending = NULL;
    if (b) {
        b->counts = counts;
        note_crowd_locked(m, b->calls);
        set_state_locked(b, SENT);
    }
    return b;
}

void coherence_combine_end(struct coherence *c)
{
    struct coherence_combine *m = c->combine;
    for (;;) {
        pthread_mutex_lock(&m->lock);
        struct combined *b = m->under_way > places_locked(m) ? NULL : take_locked(m, true);
        m->under_way -= !b;
        pthread_mutex_unlock(&m->lock);
        if (!b || send(b) == 0)
            return;
        end(b, UNKNOWN);
    }
}

/* On the I/O thread: leaves the answer to one of the calls, and sends what has waited for it. */
static void answered(void *arg, struct l2_answer *answer)
{
    struct combined *b = arg;
    struct coherence *c = b->coherence;
    struct coherence_combine *m = c->combine;
    struct combined *dropped = NULL;
    pthread_mutex_lock(&m->lock);
    bool counts = b->counts;
    bool waited = b->waiting > 0;
    b->counts = false;
    b->answer = answer;
    set_state_locked(b, ANSWERED);
    if (!waited)
        dropped = retire_locked(m, b);
    pthread_mutex_unlock(&m->lock);
    if (waited)
        wake(c, b, 1);
    else
        l2_answer_free(answer);
    drop(c, dropped);
    if (counts)
        coherence_combine_end(c);
    coherence_keeper_unref(c);
}

/* ---- settling ---- */

/* Whether the answer is ours to settle. */
static bool claim(struct combined *b)
{
    struct coherence_combine *m = b->coherence->combine;
    pthread_mutex_lock(&m->lock);
    bool ours = state_of(b) == ANSWERED;
    if (ours)
        set_state_locked(b, SETTLING);
    pthread_mutex_unlock(&m->lock);
    return ours;
}

static void accepted(struct combined *b, const struct l2_answer *answer)
{
    struct coherence_accepted a = {
        .items = b->items,
        .item_count = b->item_count,
        .answer = answer,
        .call = b->call,
        .nonce = b->nonce,
        .known = b->known,
        .uncounted = b->item_count, /* until nobody can leave any more: end() */
    };
    b->outcome.unfollowed = coherence_settle(b->coherence, &a);
    b->outcome.position =
        (struct coherence_position){answer->clock.identity, answer->clock.sequence};
}

/* Returns the state that the answer leads to: SENT if it has to be sent again. */
static uint32_t judge(struct combined *b, const struct l2_answer *answer)
{
    struct coherence *c = b->coherence;
    if (coherence_told_schemas(c, answer))
        return b->sent < COHERENCE_NAMED_TRIES ? SENT : UNKNOWN;
    if (answer->status == NIGH_EREDIS && b->calls > 1)
        return APART;
    if (answer->status != 0 || coherence_outlived(c, answer))
        return UNKNOWN;
    accepted(b, answer);
    return SETTLED;
}

static void settle(struct combined *b)
{
    struct coherence_combine *m = b->coherence->combine;
    struct l2_answer *answer = b->answer;
    uint32_t state = judge(b, answer);
    l2_answer_free(answer);
    if (state != SENT) {
        end(b, state);
        return;
    }
    pthread_mutex_lock(&m->lock);
    set_state_locked(b, SENT);
    pthread_mutex_unlock(&m->lock);
    if (send(b) < 0)
        end(b, UNKNOWN);
}

/* ---- joining ---- */

static size_t text_len(const struct coherence_change *change)
{
    size_t len = 0;
    for (uint32_t i = 0; i < change->item_count; i++)
        len += change->items[i].space.len + change->items[i].bytes.len;
    return len;
}

static bool may_join(const struct coherence_change *change)
{
    if (change->writes || change->local_key || change->item_count > CALL_ITEMS_MAX ||
        text_len(change) > COMBINE_TEXT_BYTES)
        return false;
    for (uint32_t i = 0; i < change->item_count; i++)
        if (change->items[i].version != 0)
            return false;
    return true;
}

static bool has_room(const struct combined *b, const struct coherence_change *change)
{
    return b->item_count + change->item_count <= COMBINE_ITEMS_MAX &&
           b->text_len + text_len(change) <= COMBINE_TEXT_BYTES;
}

static struct bytes copy_text(struct combined *b, struct bytes text)
{
    uint8_t *at = b->text + b->text_len;
    put_bytes(at, text);
    b->text_len += (uint32_t)text.len;
    return bytes_of(at, text.len);
}

static void add_locked(struct combined *b, const struct coherence_change *change)
    REQUIRES(b->coherence->combine->lock)
{
    for (uint32_t i = 0; i < change->item_count; i++) {
        struct coherence_item *item = &b->items[b->item_count++];
        *item = change->items[i];
        item->space = copy_text(b, item->space);
        item->bytes = copy_text(b, item->bytes);
    }
    b->calls++;
    b->waiting++;
    b->deadline_ns = u64_max(b->deadline_ns, change->deadline_ns);
}

/* Makes a spare one. False: there is no memory. Releases the lock meanwhile. */
static bool make_spare_locked(struct coherence *c) REQUIRES(c->combine->lock)
{
    pthread_mutex_unlock(&c->combine->lock);
    struct combined *b = mem_alloc(c->config.env->mem, NULL, sizeof(*b));
    pthread_mutex_lock(&c->combine->lock);
    drop(c, b ? retire_locked(c->combine, b) : NULL);
    return b != NULL;
}

static struct combined *begin_locked(struct coherence *c, uint64_t now_ns)
    REQUIRES(c->combine->lock)
{
    struct coherence_combine *m = c->combine;
    struct combined *b = m->spare;
    m->spare = b->next;
    m->spare_count--;
    memset(b, 0, offsetof(struct combined, items));
    b->coherence = c;
    b->due_ns = now_ns + PATIENCE_NS;
    return b;
}

static enum combine_says join_locked(struct coherence *c, const struct coherence_change *change,
                                     uint64_t now_ns, struct combined **ret)
    REQUIRES(c->combine->lock)
{
    struct coherence_combine *m = c->combine;
    while (m->under_way >= places_locked(m) && !m->pending && !m->spare)
        if (!make_spare_locked(c))
            return COMBINE_APART;
    if (m->under_way < places_locked(m)) {
        m->under_way++;
        note_crowd_locked(m, 1);
        return COMBINE_ALONE;
    }
    if (!m->pending)
        m->pending = begin_locked(c, now_ns);
    if (has_room(m->pending, change)) {
        add_locked(m->pending, change);
        *ret = m->pending;
    }
    return COMBINE_APART;
}

/* Joins `*ret`; if that is NULL, returns how to go alone. */
static enum combine_says join(struct coherence *c, const struct coherence_change *change,
                              struct combined **ret)
{
    uint64_t now_ns = clock_now_ns(c->config.env->clock);
    *ret = NULL;
    pthread_mutex_lock(&c->combine->lock);
    enum combine_says says = join_locked(c, change, now_ns, ret);
    pthread_mutex_unlock(&c->combine->lock);
    return says;
}

/* ---- waiting ---- */

/* Sends what has been pending for too long. */
static void send_overdue(struct combined *b)
{
    struct coherence_combine *m = b->coherence->combine;
    pthread_mutex_lock(&m->lock);
    bool ours = m->pending == b && take_locked(m, false);
    pthread_mutex_unlock(&m->lock);
    if (ours && send(b) < 0)
        end(b, UNKNOWN);
}

/* The call of so many items waits no longer. False: there is an answer to be heeded first. */
static bool leave(struct combined *b, bool ended, uint32_t items)
{
    struct coherence *c = b->coherence;
    struct coherence_combine *m = c->combine;
    struct combined *dropped = NULL;
    pthread_mutex_lock(&m->lock);
    uint32_t state = state_of(b);
    bool leaves = ended || state < ANSWERED || state == SETTLING;
    b->waiting -= leaves;
    b->left_items += leaves && !ended ? items : 0;
    if (leaves && b->waiting == 0 && (state == PENDING || ended)) {
        if (state == PENDING)
            m->pending = NULL;
        dropped = retire_locked(m, b);
    }
    pthread_mutex_unlock(&m->lock);
    drop(c, dropped);
    return leaves;
}

/* Returns when to look again, whoever is woken. `*look_ns`: how long after the last look. */
static uint64_t look_at_ns(const struct combined *b, uint32_t state, uint64_t now_ns,
                           uint64_t *look_ns)
{
    if (state == PENDING)
        return b->due_ns;
    uint64_t at_ns = now_ns + *look_ns;
    *look_ns = u64_min(2 * *look_ns, LOOK_MOST_NS);
    return at_ns;
}

/* Returns the state that it has ended in; PENDING: the deadline has passed before. */
static uint32_t wait_for_end(struct combined *b, const struct coherence_change *change)
{
    uint64_t deadline_ns = change->deadline_ns;
    struct env *env = b->coherence->config.env;
    uint64_t look_ns = LOOK_NS;
    for (;;) {
        uint32_t state = state_of(b);
        uint64_t now_ns = clock_now_ns(env->clock);
        if (state >= SETTLED)
            return state;
        if (state == ANSWERED && claim(b))
            settle(b);
        else if (state == PENDING && now_ns >= b->due_ns)
            send_overdue(b);
        else if (now_ns >= deadline_ns && leave(b, false, change->item_count))
            return PENDING;
        else
            park_wait(env->park, &b->word, state,
                      u64_min(deadline_ns, look_at_ns(b, state, now_ns, &look_ns)));
    }
}

enum combine_says coherence_combine(struct coherence *c, const struct coherence_change *change,
                                    struct combine_outcome *ret)
{
    struct combined *b;
    if (!may_join(change))
        return COMBINE_APART;
    enum combine_says says = join(c, change, &b);
    if (!b)
        return says;
    uint32_t state = wait_for_end(b, change);
    if (state == PENDING)
        return COMBINE_UNKNOWN;
    *ret = b->outcome;
    leave(b, true, change->item_count);
    return state == SETTLED ? COMBINE_SETTLED : state == APART ? COMBINE_APART : COMBINE_UNKNOWN;
}
