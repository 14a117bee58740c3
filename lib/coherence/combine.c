// SPDX-License-Identifier: MIT
// Many invalidations at once: what waits travels together.
//
// Of what a change costs Redis nine tenths are the script, its log entry and its publication, not
// the names that it deletes. So while UNDER_WAY_MAX scripts of this process are on their way,
// newcomers wait, and are sent as one as soon as one of those is answered. Nobody waits for
// company: a process that has fewer on their way sends at once. The more callers there are, the
// more go together. (A group commit without a leader.) What goes together, and how that ends:
// combined.h.
//
// - A call that leaves at its deadline queues its own items, then does its own local step, as if
//   it had been alone. Its items stay in the script, and are settled with it all the same: that
//   local step may have come before Redis ran the script, and floors have to rise after it. So
//   items and their names are copies, which outlive the call.
// - A caller that was alone, and is kept from running, holds up nobody for long: who has waited for
//   PATIENCE_NS sends what is pending, whatever is under way.
// - Left alone are: writes, for their values are judged; versions; many items, which are worth a
//   script of their own; who finds the pending script full, or no memory.

#include "coherence/combine.h"
#include "coherence/combined.h"

/* More than a script takes on a machine that is well; little beside any deadline. */
#define PATIENCE_NS (2 * NS_PER_MS)
/* The one that is woken for an answer may be kept from running: another one looks, each less and
 * less often, for Redis may be stopped and the callers many. */
#define LOOK_NS (5 * NS_PER_MS)
#define LOOK_MOST_NS (80 * NS_PER_MS)
#define CALL_ITEMS_MAX 16u

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
        item->made_ns = change->made_ns;
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
    combined_drop(c, b ? combined_retire_locked(c->combine, b) : NULL);
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
    while (m->under_way >= combined_places_locked(m) && !m->pending && !m->spare)
        if (!make_spare_locked(c))
            return COMBINE_APART;
    if (m->under_way < combined_places_locked(m)) {
        m->under_way++;
        combined_note_crowd_locked(m, 1);
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
    bool ours = m->pending == b && combined_take_locked(m, false);
    pthread_mutex_unlock(&m->lock);
    if (ours)
        combined_send(b);
}

/* The call of so many items waits no longer. False: there is an answer to be heeded first. */
static bool leave(struct combined *b, bool ended, uint32_t items)
{
    struct coherence *c = b->coherence;
    struct coherence_combine *m = c->combine;
    struct combined *dropped = NULL;
    pthread_mutex_lock(&m->lock);
    uint32_t state = combined_state(b);
    bool leaves = ended || state < ANSWERED || state == SETTLING;
    b->waiting -= leaves;
    b->left_items += leaves && !ended ? items : 0;
    if (leaves && b->waiting == 0 && (state == PENDING || ended)) {
        if (state == PENDING)
            m->pending = NULL;
        dropped = combined_retire_locked(m, b);
    }
    pthread_mutex_unlock(&m->lock);
    combined_drop(c, dropped);
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
        uint32_t state = combined_state(b);
        uint64_t now_ns = clock_now_ns(env->clock);
        if (state >= SETTLED)
            return state;
        if (state == ANSWERED && combined_settle(b))
            continue;
        if (state == PENDING && now_ns >= b->due_ns)
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
