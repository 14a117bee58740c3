// SPDX-License-Identifier: MIT
// The clock that this node follows: met, taken, forgotten, and shown to readers.
//
// Why a reader needs no lock. `view` is a sequence lock whose writers never make a reader wait:
// forgetting stores it odd and only then may identity, home, known or a group go down; taking
// another clock stores all of them and only then makes it even. Within one even view known and the
// groups only rise, so any mixture of their values is a state that was true. A reader that saw the
// same even view before and after has read one clock's values; any other follows no clock.
//
// Why forgetting raises soft `all` after the view: a read that takes a ticket above that floor
// judges what it gets from L2 by a view at least as new, that is, as stale (rule 2).
//
// Forgetting a clock moves both: readers must not compare any more, and a request
// on its way was sent by a node that still followed. Forgetting when none is followed (a change of
// ours was accepted under a clock that we do not know) moves `voids` alone: readers know nothing
// anyway, but the answer of a resync that was sent before would take back what the change did.
// Following moves the view alone: the keeper has one request at a time, and the one on its way is
// that whose answer is followed.
//
// Why a clock is not always followed as it is: met.h, and rule 16 of README.md.

#include "coherence/state.h"
#include "coherence/keeper.h"

#define VIEW_IS_NONE(view) ((view) & 1)
#define CLK_SLOT_BYTES 16u /* hard, soft */

int coherence_state_init(struct coherence_state *s, const struct coherence_config *config)
{
    pthread_mutex_init(&s->apply_lock, NULL);
    atomic_store_explicit(&s->view, 1, memory_order_relaxed); /* odd: no clock yet */
    s->groups = mem_pages_alloc(config->group_slots * sizeof(*s->groups));
    int failed = coherence_chain_init(&s->chain, config->env->mem);
    return s->groups ? failed : NIGH_ENOMEM;
}

void coherence_state_fini(struct coherence_state *s, const struct coherence_config *config)
{
    coherence_chain_fini(&s->chain, config->env->mem);
    if (s->groups)
        mem_pages_free(s->groups, config->group_slots * sizeof(*s->groups));
    pthread_mutex_destroy(&s->apply_lock);
}

static uint64_t view_locked(const struct coherence *c) REQUIRES(c->state->apply_lock)
{
    return atomic_load_explicit(&c->state->view, memory_order_relaxed);
}

static void store_shown(_Atomic uint64_t *word, uint64_t value)
{
    /* pair(coherence.view): a reader that sees the value sees the odd view stored before it */
    atomic_store_explicit(word, value, memory_order_release);
}

static uint64_t load_shown(const _Atomic uint64_t *word)
{
    /* pair(coherence.view): the second look at view comes after this load */
    return atomic_load_explicit(word, memory_order_acquire);
}

bool coherence_follows_locked(const struct coherence *c, uint64_t identity)
{
    return !VIEW_IS_NONE(view_locked(c)) && load_shown(&c->state->identity) == identity;
}

void coherence_known_raise_locked(struct coherence *c, uint64_t sequence, uint64_t nonce)
{
    if (sequence <= load_shown(&c->state->known))
        return;
    c->state->known_nonce = nonce;
    store_shown(&c->state->known, sequence);
}

struct coherence_point coherence_known_locked(const struct coherence *c)
{
    return (struct coherence_point){load_shown(&c->state->known), c->state->known_nonce};
}

void coherence_forget_for_locked(struct coherence *c, const char *why)
{
    uint64_t view = view_locked(c);
    c->state->voids++;
    if (VIEW_IS_NONE(view))
        return;
    c->state->left_why = why;
    /* before what it covers may go down: store_shown() orders it, pair(coherence.view) */
    atomic_store_explicit(&c->state->view, view + 1, memory_order_relaxed);
    c->state->left_at = c->config.sink.group(c->config.sink.arg, GROUP_SLOT_ALL, true);
}

void coherence_forget_locked(struct coherence *c)
{
    coherence_forget_for_locked(c, "redis is another, or has lost its data");
}

void coherence_rewound_locked(struct coherence *c)
{
    stats_count(c->config.stats, STATS_REWOUND);
    c->state->renew = c->state->clk_id;
    memcpy(c->state->renew_replid, c->state->replid, sizeof(c->state->renew_replid));
    coherence_forget_for_locked(c, "redis has lost changes that it had accepted");
}

/* ---- following (rules 9 and 16) ---- */

bool coherence_meet_locked(struct coherence *c, const struct l2_answer *answer)
{
    return met_note(&c->state->met, answer->clock.identity, answer->order);
}

bool coherence_outlived_locked(struct coherence *c, const struct l2_answer *answer)
{
    return !coherence_meet_locked(c, answer) && c->state->met.identity != answer->clock.identity;
}

bool coherence_outlived(struct coherence *c, const struct l2_answer *answer)
{
    pthread_mutex_lock(&c->state->apply_lock);
    bool outlived = coherence_outlived_locked(c, answer);
    pthread_mutex_unlock(&c->state->apply_lock);
    return outlived;
}

/* Whether it is the clock last followed. */
static bool is_last_locked(const struct coherence *c, const struct l2_clock *clock)
    REQUIRES(c->state->apply_lock)
{
    return clock->id == c->state->clk_id &&
           memcmp(clock->replid.data, c->state->replid, sizeof(c->state->replid)) == 0;
}

static bool is_to_renew_locked(const struct coherence *c, const struct l2_clock *clock)
    REQUIRES(c->state->apply_lock)
{
    return clock->id == c->state->renew &&
           memcmp(clock->replid.data, c->state->renew_replid, sizeof(c->state->renew_replid)) == 0;
}

bool coherence_may_follow_locked(struct coherence *c, const struct l2_clock *clock,
                                 const struct coherence_point *known)
{
    struct coherence_state *s = c->state;
    bool rewound = is_last_locked(c, clock) && !coherence_chain_reaches(&s->chain, clock, known);
    bool again = rewound || is_to_renew_locked(c, clock) || met_has_left(&s->met, clock->identity);
    s->renew = again ? clock->id : 0;
    memcpy(s->renew_replid, clock->replid.data, sizeof(s->renew_replid));
    return !again;
}

/*
 * Takes the positions of a group. Those of another clock cannot be compared: what L1 holds is
 * covered by soft `all` alone. Those of the same clock (it survived a restart, or only the log was
 * lost) show each hard bump that was missed, and what it covers is gone, not stale. "Differs"
 * rather than "rose": after a failover that lost a tail, a new bump may stand below the one that
 * was lost.
 */
static void take_group_locked(struct coherence *c, uint32_t slot, uint64_t hard, uint64_t soft,
                              bool comparable) REQUIRES(c->state->apply_lock)
{
    struct coherence_group *g = &c->state->groups[slot];
    bool bumped = hard != load_shown(&g->hard);
    if (bumped)
        store_shown(&g->hard, hard);
    if (soft != load_shown(&g->soft)) /* pages of slots that nobody uses stay untouched */
        store_shown(&g->soft, soft);
    if (bumped && comparable)
        c->config.sink.group(c->config.sink.arg, (uint16_t)slot, false);
}

/* Takes a page of the groups. `at`: its positions; NULL: none of them was ever raised. */
static void take_page_locked(struct coherence *c, uint32_t page, const uint8_t *at, bool comparable)
    REQUIRES(c->state->apply_lock)
{
    uint32_t count = c->config.group_slots / L2_PAGES;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *slot = at ? at + i * CLK_SLOT_BYTES : NULL;
        take_group_locked(c, page * count + i, slot ? get_le64(slot) : 0,
                          slot ? get_le64(slot + 8) : 0, comparable);
    }
}

static void take_groups_locked(struct coherence *c, const struct l2_answer *answer, bool comparable)
    REQUIRES(c->state->apply_lock)
{
    const uint8_t *pages[L2_PAGES] = {NULL};
    for (uint32_t i = 0; i < answer->entry_count; i++)
        pages[answer->entry_seqs[i]] = answer->entries[i].data;
    for (uint32_t page = 0; page < L2_PAGES; page++)
        if (pages[page] || !answer->partial)
            take_page_locked(c, page, pages[page], comparable);
}

void coherence_follow_locked(struct coherence *c, const struct l2_answer *answer)
{
    const struct l2_clock *clock = &answer->clock;
    bool another = load_shown(&c->state->identity) != clock->identity;
    NIGH_DCHECK(VIEW_IS_NONE(view_locked(c)));
    take_groups_locked(c, answer, clock->id == c->state->clk_id);
    memcpy(c->state->replid, clock->replid.data, sizeof(c->state->replid));
    c->state->clk_id = clock->id;
    coherence_chain_begin(&c->state->chain, clock->sequence, clock->nonce);
    c->state->known_nonce = clock->nonce;
    c->state->heard = 0;
    store_shown(&c->state->known, clock->sequence);
    store_shown(&c->state->home, clock->home);
    store_shown(&c->state->identity, clock->identity);
    /* pair(coherence.view): a reader that sees it even sees all that was stored while odd */
    atomic_store_explicit(&c->state->view, view_locked(c) + 1, memory_order_release);
    c->config.sink.group(c->config.sink.arg, GROUP_SLOT_ALL, true);
    c->state->left_why = NULL;
    if (another)
        c->config.sink.renew(c->config.sink.arg, c->state->left_at);
}

/* ---- readers ---- */

/* First look: false when no clock is followed. */
static bool view_enter(const struct coherence *c, uint64_t *ret_view)
{
    /* pair(coherence.view): all that is read after it is at least as new */
    *ret_view = atomic_load_explicit(&c->state->view, memory_order_acquire);
    return !VIEW_IS_NONE(*ret_view);
}

/* Second look: whether all that was read in between belongs together. */
static bool view_held(const struct coherence *c, uint64_t view)
{
    return atomic_load_explicit(&c->state->view, memory_order_relaxed) == view;
}

struct coherence_position coherence_position(struct coherence *c)
{
    struct coherence_position none = {0, 0};
    uint64_t view;
    if (!view_enter(c, &view))
        return none;
    struct coherence_position p = {load_shown(&c->state->identity), load_shown(&c->state->known)};
    return view_held(c, view) ? p : none;
}

uint64_t coherence_home(const struct coherence *c)
{
    return load_shown(&c->state->home);
}

static bool group_below(const struct coherence *c, uint32_t slot, uint64_t sequence, bool soft)
{
    const struct coherence_group *g = &c->state->groups[slot];
    return sequence < load_shown(soft ? &g->soft : &g->hard);
}

/* Whether the stamp is below a hard (soft) position of its space, `all`, or a tag. */
static bool below(const struct coherence *c, const struct l2_envelope *e, uint16_t space_slot,
                  bool soft)
{
    if (group_below(c, GROUP_SLOT_ALL, e->sequence, soft) ||
        group_below(c, space_slot, e->sequence, soft))
        return true;
    for (uint32_t i = 0; i < e->group_count; i++) {
        uint64_t hash = get_le64(e->groups + 8 * (size_t)i);
        uint16_t slot = hash_group_slot(WIRE_TAG, hash, c->config.group_slots);
        if (group_below(c, slot, e->sequence, soft))
            return true;
    }
    return false;
}

enum coherence_verdict coherence_judge(struct coherence *c, const struct l2_envelope *e,
                                       uint16_t space_slot, uint64_t home)
{
    uint64_t view;
    if (!view_enter(c, &view))
        return COHERENCE_UNKNOWN;
    uint64_t own_home = load_shown(&c->state->home);
    bool comparable = e->identity == load_shown(&c->state->identity) && e->home == own_home &&
                      home == own_home;
    bool gone = below(c, e, space_slot, false);
    bool stale = (e->flags & L2_ENVELOPE_SOFT) || below(c, e, space_slot, true);
    if (!view_held(c, view) || !comparable)
        return COHERENCE_UNKNOWN;
    return gone ? COHERENCE_GONE : stale ? COHERENCE_STALE : COHERENCE_FRESH;
}

/* Whether the clock in an answer is no news, as in most of them, hence without the lock. */
static bool is_known(struct coherence *c, const struct l2_clock *clock)
{
    struct coherence_position p = coherence_position(c);
    return p.identity != 0 && p.identity == clock->identity && p.sequence >= clock->sequence;
}

void coherence_note(struct coherence *c, const struct l2_answer *answer)
{
    const struct l2_clock *clock = &answer->clock;
    if (answer->status != 0 || is_known(c, clock))
        return;
    bool followed = false;
    pthread_mutex_lock(&c->state->apply_lock);
    bool newest = coherence_meet_locked(c, answer);
    if (coherence_follows_locked(c, clock->identity) &&
        !coherence_chain_agrees(&c->state->chain, clock->sequence, clock->nonce)) {
        coherence_rewound_locked(c);
    } else if (coherence_follows_locked(c, clock->identity)) {
        followed = true;
        coherence_known_raise_locked(c, clock->sequence, clock->nonce);
    } else if (newest && !VIEW_IS_NONE(view_locked(c))) {
        coherence_forget_locked(c);
    }
    pthread_mutex_unlock(&c->state->apply_lock);
    if (!followed)
        coherence_keeper_want_beat(c);
}

/* Rule 8. A writer is safe without this wait, for to a node that follows no clock all of L2 is
 * stale; he waits so that what he reads and fills next counts. */
void coherence_wait_for_clock(struct coherence *c, uint64_t deadline_ns)
{
    _Atomic uint32_t *word = &c->state->rounds;
    for (;;) {
        /* pair(coherence.rounds): a clock taken after this look changes the word */
        uint32_t rounds = atomic_load_explicit(word, memory_order_acquire);
        if (coherence_position(c).identity != 0)
            return;
        if (park_wait(c->config.env->park, word, rounds, deadline_ns) == NIGH_ETIMEDOUT)
            return;
    }
}
