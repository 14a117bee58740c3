/* SPDX-License-Identifier: MIT */
/*
 * Caps that move between the tables of a cache.
 *
 * Invariant, under the family's lock: the bytes that all tables have reserved (each the larger of
 * its cap in force and its goal) are together at most l1.memory, or on their way down to it. A cap
 * rises only in this file, by no more than is left; the reclaimer only lowers the cap in force
 * towards the goal (shrink.c), which may be seen here later.
 */
#include "l1/family.h"

#include "l1/core.h"

/* A cap grows by 1/8 of itself: few steps, and little that another member has to ask back. */
#define STEP_SHARE 8u

/* Passes for which others do not take the bytes that a member has been refused: one that seldom
 * puts does not ask in each pass, and would find them taken again. */
#define STARVE_PASSES 64u

/* Renewing statistics may take 1/8 of the reclaimer's time. */
#define RENEW_SHARE 8u

void family_init(struct l1 *l1, const struct l1_config *config)
{
    pthread_mutex_init(&l1->family.lock, NULL);
    l1->family.config = *config;
    l1->family.memory_bytes = config->memory_bytes;
    l1->family.mosts = (double)config->memory_bytes;
    l1->member.root = config->root ? config->root : l1;
    l1->member.most_bytes = config->memory_bytes;
}

void family_fini(struct l1 *l1)
{
    pthread_mutex_destroy(&l1->family.lock);
}

struct l1 *family_next(const struct l1 *l1)
{
    /* pair(family.next): a table is whole before it is in the list */
    return atomic_load_explicit(&l1->member.next, memory_order_acquire);
}

bool family_renew_stats(struct l1 *root, bool again)
{
    struct l1_family *f = &root->family;
    uint64_t now_ns = clock_now_ns(root->env->clock);
    if (f->renewed < (again ? 2 : 1) && now_ns >= f->renew_again_ns) {
        mem_stats_renew();
        f->renewed++;
        uint64_t end_ns = clock_now_ns(root->env->clock);
        f->renew_again_ns = end_ns + RENEW_SHARE * (end_ns - now_ns);
        return true;
    }
    return f->renewed > 0 && !again;
}

static void lock(struct l1 *root) ACQUIRES(root->family.lock)
{
    pthread_mutex_lock(&root->family.lock);
}

static void unlock(struct l1 *root) RELEASES(root->family.lock)
{
    pthread_mutex_unlock(&root->family.lock);
}

static bool is_apart(const struct l1 *l1)
{
    return l1->member.root != l1;
}

/* ---- sums; all REQUIRE(family lock) ---- */

/* The most that a member's cap may be now. */
static uint64_t most_of(const struct l1 *l1)
{
    return u64_min(l1->member.most_bytes, l1->member.root->family.memory_bytes);
}

static uint64_t unreserved(struct l1 *root)
{
    uint64_t sum = 0;
    for (struct l1 *m = root; m; m = family_next(m))
        sum += cap_reserved(m);
    return root->family.memory_bytes - u64_min(root->family.memory_bytes, sum);
}

/* A member's share of l1.memory. */
static uint64_t share_of(const struct l1 *l1)
{
    const struct l1_family *f = &l1->member.root->family;
    return (uint64_t)((double)f->memory_bytes * ((double)most_of(l1) / f->mosts));
}

static bool is_starving(const struct l1 *l1)
{
    return l1->member.starves || l1->member.asked;
}

static bool somebody_else_starves(const struct l1 *l1)
{
    return l1->member.root->family.starving > is_starving(l1);
}

static uint64_t above(uint64_t bytes, uint64_t limit)
{
    return bytes > limit ? bytes - limit : 0;
}

static void set_may_grow(struct l1 *l1, bool may)
{
    atomic_store_explicit(&l1->member.may_grow, may, memory_order_relaxed);
}

/* Let each member that is below its most ask again, because something has changed, and sum up. */
static void let_grow(struct l1 *root)
{
    struct l1_family *f = &root->family;
    f->mosts = 0;
    f->starving = 0;
    f->exhausted = false;
    f->free_bytes = unreserved(root);
    for (struct l1 *m = root; m; m = family_next(m)) {
        f->mosts += (double)most_of(m);
        f->starving += is_starving(m);
        set_may_grow(m, cap_reserved(m) < most_of(m));
    }
}

/* ---- growing ---- */

/* Ask the others, each once, for bytes that they do not use. Returns how many they gave. */
static uint64_t ask_around(const struct l1 *l1, uint64_t wanted)
{
    struct l1 *root = l1->member.root;
    struct l1 *first = root->family.giver ? root->family.giver : root;
    struct l1 *m = first;
    uint64_t got = 0;
    do {
        if (m != l1)
            got += cap_give(m, wanted - got);
        root->family.giver = m;
        m = family_next(m);
        m = m ? m : root;
    } while (got < wanted && m != first);
    return got;
}

/* Take up to `wanted` bytes that are in no cap, but for those promised to somebody else, or that
 * others have and do not use. */
static uint64_t collect(const struct l1 *l1, uint64_t wanted, uint64_t promised)
{
    struct l1_family *f = &l1->member.root->family;
    uint64_t got = u64_min(wanted, above(f->free_bytes, promised));
    f->free_bytes -= got;
    if (got < wanted && !f->exhausted) {
        got += ask_around(l1, wanted - got);
        f->exhausted = got < wanted;
    }
    return got;
}

/* Note what it lacks, and as much again as it has: one whose values come and go has given away what
 * it needs in a moment. */
static void note_refused(struct l1 *l1, uint64_t bytes)
{
    l1->member.root->family.starving += !is_starving(l1);
    l1->member.asked = true;
    l1->member.lacks_bytes = u64_max(bytes, cap_reserved(l1));
}

static bool grow_locked(struct l1 *l1, uint64_t bytes, bool *ret_poke)
    REQUIRES(l1->member.root->family.lock)
{
    const struct l1 *root = l1->member.root;
    uint64_t has = cap_reserved(l1);
    uint64_t share = share_of(l1);
    uint64_t most = somebody_else_starves(l1) ? u64_min(share, most_of(l1)) : most_of(l1);
    uint64_t step = u64_max(u64_max(2 * bytes, has / STEP_SHARE), FAMILY_STEP_LEAST_BYTES);
    uint64_t wanted = u64_min(step, above(most, has));
    uint64_t got = wanted ? collect(l1, wanted, root->family.promised_bytes) : 0;
    if (got)
        cap_grow(l1, got);
    l1->member.lacks_bytes -= u64_min(l1->member.lacks_bytes, got);
    if (got < step)
        set_may_grow(l1, false);
    if (got < wanted && has + got < share && !l1->member.asked) {
        note_refused(l1, wanted - got);
        *ret_poke = true;
    }
    return got;
}

bool family_grow(struct l1 *l1, uint64_t bytes, bool *ret_poke)
{
    struct l1 *root = l1->member.root;
    lock(root);
    bool got = atomic_load_explicit(&l1->member.may_grow, memory_order_relaxed) &&
               grow_locked(l1, bytes, ret_poke);
    unlock(root);
    return got;
}

/* ---- fair shares ---- */

/* Lower the others' goals towards their shares, by the bytes that starving members want: each by
 * the same part of what it has above its share. Returns whether any goal was lowered. */
static bool take_from_others(struct l1 *root, uint64_t wanted)
{
    double sum = 0;
    bool takes = false;
    for (struct l1 *m = root; m; m = family_next(m))
        sum += (double)above(cap_goal(m), share_of(m));
    for (struct l1 *m = root; m && sum > 0; m = family_next(m)) {
        uint64_t goal = cap_goal(m);
        uint64_t share = share_of(m);
        uint64_t most = above(goal, u64_max(share, m->least_bytes));
        uint64_t part = (uint64_t)((double)wanted * ((double)above(goal, share) / sum));
        if (most && part) {
            cap_set_goal(m, goal - u64_min(part, most), m->cap.limbo_bytes);
            takes = true;
        }
    }
    return takes;
}

/* Count a member's passes of starving. Returns how much it lacks, up to its share. */
static uint64_t note_starving(struct l1 *l1, uint64_t share)
{
    struct l1_member *m = &l1->member;
    uint64_t missing = u64_min(above(share, cap_reserved(l1)), m->lacks_bytes);
    if (m->asked)
        m->starves = STARVE_PASSES;
    else if (m->starves)
        m->starves--;
    if (!missing)
        m->starves = 0;
    m->asked = false;
    return m->starves ? missing : 0;
}

bool family_balance(struct l1 *root)
{
    uint64_t wanted = 0;
    if (!family_next(root))
        return false;
    lock(root);
    for (struct l1 *m = root; m; m = family_next(m))
        wanted += note_starving(m, share_of(m));
    uint64_t coming = unreserved(root);
    for (struct l1 *m = root; m; m = family_next(m))
        coming += cap_reserved(m) - cap_goal(m);
    bool takes = wanted > coming && root->policy->victim && take_from_others(root, wanted - coming);
    let_grow(root);
    unlock(root);
    return takes;
}

/* ---- l1.memory ---- */

static uint64_t least_of_all(const struct l1 *root)
{
    uint64_t sum = 0;
    for (const struct l1 *m = root; m; m = family_next(m))
        sum += m->least_bytes;
    return sum;
}

/* Lower all goals by `over` together: each member gives up the same part of what it can, and the
 * table of all what rounding leaves. */
static void cut_all(struct l1 *root, uint64_t over, uint64_t limbo_bytes)
{
    double sum = 0;
    uint64_t rest = over;
    for (struct l1 *m = root; m; m = family_next(m))
        sum += (double)above(cap_goal(m), m->least_bytes);
    for (struct l1 *m = family_next(root); m && over; m = family_next(m)) {
        uint64_t goal = cap_goal(m);
        uint64_t part =
            (uint64_t)((double)over * ((double)above(goal, m->least_bytes) / sum));
        cap_set_goal(m, goal - part, 0);
        rest -= part;
    }
    cap_set_goal(root, cap_goal(root) - rest, limbo_bytes);
}

/* New bytes are the table of all's until others ask for them. Not those that others have still to
 * give up for a smaller l1.memory of before: who wants these gets them when they are there. */
static void raise_root(struct l1 *root, uint64_t bytes, uint64_t limbo_bytes)
{
    uint64_t goal = cap_goal(root);
    uint64_t has = unreserved(root) + above(cap_reserved(root), goal);
    cap_set_goal(root, goal + u64_min(bytes, has), limbo_bytes);
}

static void set_memory_locked(struct l1 *root, uint64_t memory_bytes, uint64_t limbo_bytes)
    REQUIRES(root->family.lock)
{
    uint64_t before = root->family.memory_bytes;
    uint64_t goals = 0;
    for (struct l1 *m = root; m; m = family_next(m))
        goals += cap_goal(m);
    root->family.memory_bytes = root->member.most_bytes = memory_bytes;
    for (struct l1 *m = root; m; m = family_next(m))
        cap_set_largest(m, most_of(m));
    if (memory_bytes > before)
        raise_root(root, memory_bytes - before, limbo_bytes);
    else
        cut_all(root, above(goals, memory_bytes), limbo_bytes);
    let_grow(root);
}

static void poke(struct l1 *l1)
{
    if (l1->poke)
        l1->poke(l1->poke_arg);
}

int l1_set_memory(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes)
{
    int err = 0;
    lock(l1);
    if (memory_bytes < least_of_all(l1) || limbo_bytes > memory_bytes / 2)
        err = NIGH_EINVAL;
    else
        set_memory_locked(l1, memory_bytes, limbo_bytes);
    unlock(l1);
    if (!err)
        poke(l1);
    return err;
}

uint64_t l1_memory(struct l1 *l1)
{
    struct l1 *root = l1->member.root;
    lock(root);
    uint64_t bytes = is_apart(l1) ? most_of(l1) : root->family.memory_bytes;
    unlock(root);
    return bytes;
}

int l1_set_most(struct l1 *apart, uint64_t memory_bytes)
{
    struct l1 *root = apart->member.root;
    if (memory_bytes < apart->least_bytes)
        return NIGH_EINVAL;
    lock(root);
    apart->member.most_bytes = memory_bytes;
    cap_set_largest(apart, most_of(apart));
    if (cap_goal(apart) > most_of(apart))
        cap_set_goal(apart, most_of(apart), 0);
    let_grow(root);
    unlock(root);
    poke(root);
    return 0;
}

/* ---- a new table ---- */

/* Lower the goal of the table of all by `bytes`, or as far as it can be. Returns by how much. */
static uint64_t ask_root(struct l1 *root, uint64_t bytes)
{
    uint64_t goal = cap_goal(root);
    uint64_t less = root->policy->victim ? u64_min(bytes, above(goal, root->least_bytes)) : 0;
    if (less)
        cap_set_goal(root, goal - less, root->cap.limbo_bytes);
    return less;
}

/* Raise that goal again, by what the table has not come down by yet and l1.memory still allows. */
static void stop_asking_locked(struct l1 *root, uint64_t asked) REQUIRES(root->family.lock)
{
    uint64_t goals = 0;
    for (struct l1 *m = root; m; m = family_next(m))
        goals += cap_goal(m);
    uint64_t goal = cap_goal(root);
    uint64_t more = u64_min(asked, u64_min(above(cap_reserved(root), goal),
                                           above(root->family.memory_bytes, goals)));
    if (more)
        cap_set_goal(root, goal + more, root->cap.limbo_bytes);
}

void family_promise(struct l1 *root, uint64_t bytes)
{
    lock(root);
    root->family.promised_bytes += bytes;
    unlock(root);
}

bool family_add(struct l1 *root, struct l1 *apart, uint64_t bytes, uint64_t *asked)
{
    lock(root);
    root->family.exhausted = false; /* no pass of a cache with one table has said so */
    root->family.free_bytes = unreserved(root);
    uint64_t got = collect(apart, bytes, root->family.promised_bytes - bytes);
    bool enough = got == bytes;
    if (enough) {
        cap_start(apart, bytes);
        atomic_store_explicit(&apart->member.next, family_next(root), memory_order_relaxed);
        /* pair(family.next) */
        atomic_store_explicit(&root->member.next, apart, memory_order_release);
        let_grow(root);
    } else {
        root->family.free_bytes += got;
        *asked += ask_root(root, bytes - got);
    }
    unlock(root);
    return enough;
}

bool family_has_room(struct l1 *root, uint64_t bytes)
{
    lock(root);
    bool enough = unreserved(root) >= bytes;
    unlock(root);
    return enough;
}

void family_settle_promise(struct l1 *root, uint64_t bytes, bool added, uint64_t asked)
{
    lock(root);
    root->family.promised_bytes -= bytes;
    if (!added)
        stop_asking_locked(root, asked);
    let_grow(root); /* members that gave bytes may have them back */
    unlock(root);
}
