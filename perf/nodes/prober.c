// SPDX-License-Identifier: MIT
/*
 * The prober: when has an invalidation of another node been applied here?
 *
 * Before an updater commits it asks every other node to have the update's probe, a tiny value under
 * a key of its own, in L1. The probe is the last item of the update's frame. From then on the
 * prober looks into L1 every few microseconds: when the probe is gone, everything before it in the
 * frame has been applied too. That moment is later than the real one by at most a look and a turn
 * of the scheduler, so the lag shown is an upper bound; it is counted from the beginning of the
 * call, which is before the acceptance by Redis.
 */
#include "nodes/member.h"

#include <stdio.h>
#include <sys/prctl.h>

#include "support/fail.h"

#define LOOK_EVERY_NS (10 * PERF_NS_PER_US)
#define ASK_AT_MOST_NS (20 * PERF_NS_PER_MS)
#define GIVE_UP_NS (1 * PERF_NS_PER_S)

/* The prober's view of one updating node. */
struct watch {
    bool open;
    uint32_t update;
    uint64_t since_ns;
};

size_t prober_name(char name[PROBE_NAME_BYTES], uint32_t update)
{
    return (size_t)snprintf(name, PROBE_NAME_BYTES, "probe-%u", update);
}

static bool is_ready(struct member *m, uint32_t node, uint32_t update)
{
    /* pair(probe.ready): the probe is in that node's L1 */
    return atomic_load_explicit(&m->shared->nodes[node].probes[m->number].ready,
                                memory_order_acquire) == update + 1;
}

void prober_ask(struct member *m, uint32_t update)
{
    uint64_t until = now_ns() + ASK_AT_MOST_NS;
    for (uint32_t node = 0; node < m->plan->nodes; node++) {
        struct node *other = &m->shared->nodes[node];
        if (node == m->number)
            continue;
        /* pair(probe.wanted): the update is reserved */
        atomic_store_explicit(&other->probes[m->number].wanted, update + 1, memory_order_release);
        sem_post(&other->probe_wanted);
    }
    for (uint32_t node = 0; node < m->plan->nodes; node++)
        while (node != m->number && !is_ready(m, node, update) && now_ns() < until)
            sleep_ns(LOOK_EVERY_NS);
}

static bool in_l1(struct member *m, uint32_t update)
{
    char name[PROBE_NAME_BYTES];
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    call.flags = NIGH_L1_ONLY;
    int outcome = nigh_get(m->probes, name, prober_name(name, update), &call, &value);
    nigh_release(&value);
    return outcome == NIGH_FRESH || outcome == NIGH_STALE;
}

/* Bring the probe into L1 and say so. A request that replaces another gives that one up. */
static void open_watch(struct member *m, struct watch *w, struct probe *probe, uint32_t update)
{
    char name[PROBE_NAME_BYTES];
    struct nigh_value value = NIGH_VALUE_INIT;
    m->self->update.probes_unseen += w->open;
    int outcome = nigh_fetch(m->probes, name, prober_name(name, update), NULL, &value);
    nigh_release(&value);
    w->open = outcome >= 0 && in_l1(m, update);
    w->update = update;
    w->since_ns = now_ns();
    m->self->update.probes_unseen += !w->open;
    if (w->open) /* pair(probe.ready) */
        atomic_store_explicit(&probe->ready, update + 1, memory_order_release);
}

/* The probe is gone. If its update's call has not begun it went by another way (room). */
static void note_applied(struct member *m, const struct watch *w, uint64_t now)
{
    const struct update *u = &m->history.updates[w->update];
    uint64_t call = atomic_load_explicit(&u->call_ns, memory_order_relaxed);
    if (call == 0 || call > now) {
        m->self->update.probes_unseen++;
        return;
    }
    hist_add(&m->self->update.lag, now - call);
    history_applied(&m->history, w->update, m->number, now);
}

static void look_after(struct member *m, struct watch *w)
{
    bool gone = !in_l1(m, w->update);
    uint64_t now = now_ns();
    if (gone)
        note_applied(m, w, now);
    else if (now - w->since_ns > GIVE_UP_NS)
        m->self->update.probes_unseen++;
    else
        return;
    w->open = false;
}

/* One look at every updating node. Returns whether any probe is still out. */
static bool turn(struct member *m, struct watch watches[NODES_MAX])
{
    bool any = false;
    for (uint32_t node = 0; node < m->plan->nodes; node++) {
        struct probe *probe = &m->self->probes[node];
        struct watch *w = &watches[node];
        /* pair(probe.wanted) */
        uint32_t wanted = atomic_load_explicit(&probe->wanted, memory_order_acquire);
        if (wanted && wanted != w->update + 1)
            open_watch(m, w, probe, wanted - 1);
        if (w->open)
            look_after(m, w);
        any |= w->open;
    }
    return any;
}

void *prober_run(void *arg)
{
    struct member *m = arg;
    struct watch watches[NODES_MAX];
    for (uint32_t node = 0; node < NODES_MAX; node++)
        watches[node] = (struct watch){.update = UINT32_MAX};
    prctl(PR_SET_TIMERSLACK, 1); /* the usual 50 us would be most of what is measured */
    while (!shared_stopped(m->shared)) {
        if (turn(m, watches))
            sleep_ns(LOOK_EVERY_NS);
        else
            sem_wait(&m->self->probe_wanted); /* posted once more when the run ends */
    }
    return NULL;
}
