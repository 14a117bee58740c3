// SPDX-License-Identifier: MIT
// The listener: a thread around the channel's own connection.
//
// It runs no code of the application and waits for nothing but its socket and, for the time of one
// frame, the apply lock. A listener that hears nothing is never a danger, only a delay: beats fetch
// what it misses. Each time it has subscribed anew it asks for a beat, for what was said meanwhile.

#include "coherence/listener.h"
#include "coherence/apply.h"
#include "coherence/keeper.h"

#define WAIT_NS (1 * NS_PER_S)

static void hear(void *arg, struct bytes payload)
{
    coherence_push(arg, payload);
}

static void hear_old(void *arg, struct bytes payload)
{
    coherence_push_old(arg, payload);
}

static void up(void *arg)
{
    struct coherence *c = arg;
    atomic_fetch_add_explicit(&c->listener->listens, 1, memory_order_relaxed); /* even -> odd */
    stats_count(c->config.stats, STATS_LISTENER_CONNECT);
    coherence_keeper_want_beat(c);
    c->config.sink.wake(c->config.sink.arg);
}

static void down(void *arg)
{
    struct coherence *c = arg;
    if (!COHERENCE_LISTENING(atomic_load_explicit(&c->listener->listens, memory_order_relaxed)))
        return; /* the channel never came up */
    atomic_fetch_add_explicit(&c->listener->listens, 1, memory_order_relaxed); /* odd -> even */
    stats_count(c->config.stats, STATS_LISTENER_LOST);
}

uint64_t coherence_listen_step(struct coherence *c, uint64_t wait_ns)
{
    if (atomic_load_explicit(&c->listener->stopping, memory_order_relaxed))
        return CLOCK_NEVER_NS; /* the channel is gone, while the queue is tried once more */
    if (!turn_take(&c->listener->listening))
        return clock_now_ns(c->config.env->clock) + NS_PER_MS;
    uint64_t next_ns = l2_channel_step(c->listener->channel, wait_ns);
    turn_give(&c->listener->listening);
    return next_ns;
}

static uint64_t listen(void *arg)
{
    struct coherence *c = arg;
    if (atomic_load_explicit(&c->listener->stopping, memory_order_relaxed))
        return CLOCK_NEVER_NS; /* service_stop() ends this sleep */
    coherence_listen_step(c, WAIT_NS); /* waits by itself */
    return 0;
}

int coherence_listener_start(struct coherence *c)
{
    struct l2_channel_config config = {
        .l2 = c->config.l2,
        .message = hear,
        .old_message = hear_old,
        .up = up,
        .down = down,
        .arg = c,
    };
    int rc = l2_channel_create(&config, &c->listener->channel);
    if (rc < 0)
        return rc;
    rc = service_start(&c->listener->service, c->config.env, "nigh-listen", listen, c);
    if (rc < 0)
        l2_channel_destroy(c->listener->channel);
    return rc;
}

void coherence_listener_stop(struct coherence *c)
{
    atomic_store_explicit(&c->listener->stopping, true, memory_order_relaxed);
    l2_channel_wake(c->listener->channel);
    service_stop(&c->listener->service);
    l2_channel_destroy(c->listener->channel);
}

void coherence_outage_read(struct coherence *c, struct l2_outage *ret)
{
    l2_channel_outage_read(c->listener->channel, ret);
}

void coherence_problem_read(struct coherence *c, struct l2_problem *ret)
{
    l2_channel_problem_read(c->listener->channel, ret);
}
