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

static void lock(struct l1 *root)
{
    pthread_mutex_lock(&root->family.lock);
}

static void unlock(struct l1 *root)
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

static double sum_of_mosts(const struct l1 *root)
{
    double sum = 0;
    for (const struct l1 *m = root; m; m = family_next(m))
        sum += (double)most_of(m);
    return sum;
}

/* A member's share of l1.memory. `mosts`: the sum of all members' mosts. */
static uint64_t share_of(const struct l1 *l1, double mosts)
{
    uint64_t memory_bytes = l1->member.root->family.memory_bytes;
    return (uint64_t)((double)memory_bytes * ((double)most_of(l1) / mosts));
}

static bool somebody_else_starves(const struct l1 *l1)
{
    for (const struct l1 *m = l1->member.root; m; m = family_next(m))
        if (m != l1 && (m->member.starves || m->member.asked))
            return true;
    return false;
}

static uint64_t above(uint64_t bytes, uint64_t limit)
{
    return bytes > limit ? bytes - limit : 0;
}

static void set_may_grow(struct l1 *l1, bool may)
{
    atomic_store_explicit(&l1->member.may_grow, may, memory_order_relaxed);
}

/* Let each member that is below its most ask again, because something has changed. */
static void let_grow(struct l1 *root)
{
    for (struct l1 *m = root; m; m = family_next(m))
        set_may_grow(m, cap_reserved(m) < most_of(m));
}

/* ---- growing ---- */

/* Take up to `wanted` bytes that are in no cap, or that others have and do not use. */
static uint64_t collect(struct l1 *l1, uint64_t wanted)
{
    uint64_t got = u64_min(wanted, unreserved(l1->member.root));
    for (struct l1 *m = l1->member.root; m && got < wanted; m = family_next(m))
        if (m != l1)
            got += cap_give(m, wanted - got);
    return got;
}

static bool grow_locked(struct l1 *l1, uint64_t bytes, bool *ret_poke)
{
    uint64_t has = cap_reserved(l1);
    uint64_t share = share_of(l1, sum_of_mosts(l1->member.root));
    uint64_t most = somebody_else_starves(l1) ? u64_min(share, most_of(l1)) : most_of(l1);
    uint64_t step = u64_max(u64_max(2 * bytes, has / STEP_SHARE), FAMILY_STEP_LEAST_BYTES);
    uint64_t wanted = u64_min(step, above(most, has));
    uint64_t got = wanted ? collect(l1, wanted) : 0;
    if (got)
        cap_grow(l1, got);
    if (got < step)
        set_may_grow(l1, false);
    if (got < wanted && has + got < share && !l1->member.asked) {
        l1->member.asked = true;
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
    double mosts = sum_of_mosts(root);
    double sum = 0;
    bool takes = false;
    for (struct l1 *m = root; m; m = family_next(m))
        sum += (double)above(cap_goal(m), share_of(m, mosts));
    for (struct l1 *m = root; m && sum > 0; m = family_next(m)) {
        uint64_t goal = cap_goal(m);
        uint64_t share = share_of(m, mosts);
        uint64_t most = above(goal, u64_max(share, m->least_bytes));
        uint64_t part = (uint64_t)((double)wanted * ((double)above(goal, share) / sum));
        if (most && part) {
            cap_set_goal(m, goal - u64_min(part, most), m->cap.limbo_bytes);
            takes = true;
        }
    }
    return takes;
}

/* Count a member's passes of starving. Returns how much it is below its share, if it wants that. */
static uint64_t note_starving(struct l1 *l1, uint64_t share)
{
    struct l1_member *m = &l1->member;
    uint64_t missing = above(share, cap_reserved(l1));
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
    double mosts = sum_of_mosts(root);
    for (struct l1 *m = root; m; m = family_next(m))
        wanted += note_starving(m, share_of(m, mosts));
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

static void set_memory_locked(struct l1 *root, uint64_t memory_bytes, uint64_t limbo_bytes)
{
    uint64_t before = root->family.memory_bytes;
    uint64_t goals = 0;
    for (struct l1 *m = root; m; m = family_next(m))
        goals += cap_goal(m);
    root->family.memory_bytes = root->member.most_bytes = memory_bytes;
    for (struct l1 *m = root; m; m = family_next(m))
        cap_set_largest(m, most_of(m));
    if (memory_bytes > before) /* new bytes are the table of all's until others ask */
        cap_set_goal(root, cap_goal(root) + memory_bytes - before, limbo_bytes);
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

static void stop_asking_locked(struct l1 *root, uint64_t asked)
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

bool family_add(struct l1 *root, struct l1 *apart, uint64_t bytes, uint64_t *asked)
{
    lock(root);
    uint64_t got = collect(apart, bytes);
    bool enough = got == bytes;
    if (enough) {
        cap_start(apart, bytes);
        atomic_store_explicit(&apart->member.next, family_next(root), memory_order_relaxed);
        /* pair(family.next) */
        atomic_store_explicit(&root->member.next, apart, memory_order_release);
        let_grow(root);
    } else { /* bytes that members gave are in no cap now */
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

void family_stop_asking(struct l1 *root, uint64_t asked)
{
    lock(root);
    stop_asking_locked(root, asked);
    let_grow(root); /* members that gave bytes may have them back */
    unlock(root);
}
