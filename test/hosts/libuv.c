// SPDX-License-Identifier: MIT
/*
 * nigh inside a loop of libuv: a uv_poll_t for each of its descriptors, and no timer. With own
 * threads the queue's is all; without any, that of the ticks drives the rest.
 */
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "support/origin.h"

#define FETCHES 2000
#define KEYS 307
#define AT_ONCE 50

struct host {
    struct world w;
    struct nigh_queue *queue;
    uv_loop_t loop;
    uv_poll_t completions, ticks;
    unsigned begun, ended;
};

static void answered(struct host *h, int outcome, struct nigh_value *value)
{
    CHECK_EQ(outcome, NIGH_FRESH);
    nigh_release(value);
    h->ended++;
}

/* Keeps so many pending. When all have ended the loop has nothing to wait for. */
static void ask_on(struct host *h)
{
    while (h->begun < FETCHES && h->begun - h->ended < AT_ONCE) {
        struct nigh_value value = NIGH_VALUE_INIT;
        char key[32];
        int len = snprintf(key, sizeof(key), "k%u", h->begun++ % KEYS);
        int rc = nigh_fetch_async(h->queue, h->w.space, key, (size_t)len, NULL, NULL, &value,
                                  NULL);
        if (rc != NIGH_PENDING)
            answered(h, rc, &value);
    }
    if (h->ended < FETCHES)
        return;
    uv_poll_stop(&h->completions);
    if (h->ticks.data)
        uv_poll_stop(&h->ticks);
}

static void completed(uv_poll_t *poll, int status, int events)
{
    struct host *h = poll->data;
    struct nigh_completion done[16];
    (void)events;
    CHECK_EQ(status, 0);
    int n = nigh_queue_poll(h->queue, done, 16, 0);
    for (int i = 0; i < n; i++)
        answered(h, done[i].outcome, &done[i].value);
    ask_on(h);
}

static void due(uv_poll_t *poll, int status, int events)
{
    struct host *h = poll->data;
    (void)events;
    CHECK_EQ(status, 0);
    CHECK_GE(nigh_tick(h->w.cache), 0);
}

static void watch(struct host *h, uv_poll_t *poll, int fd, uv_poll_cb ready)
{
    REQUIRE_EQ(uv_poll_init(&h->loop, poll, fd), 0);
    REQUIRE_EQ(uv_poll_start(poll, UV_READABLE, ready), 0);
    poll->data = h;
}

static void serve(enum nigh_threads threads)
{
    static struct host h;
    struct redis server;
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    memset(&h, 0, sizeof(h));
    o.threads = threads;
    o.lease_ms = WORLD_PATIENCE_MS; /* loads are counted: no lease ends by itself */
    o.space.load_deadline_ms = 3 * WORLD_PATIENCE_MS;
    origin_init(&h.w.origin);
    world_open_with(&h.w, &o, NULL, &h.w.origin);
    REQUIRE_EQ(nigh_queue_open(h.w.cache, &h.queue), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (nigh_tick(h.w.cache), nigh_health(h.w.cache) == NIGH_FRESH));
    REQUIRE_EQ(uv_loop_init(&h.loop), 0);
    watch(&h, &h.completions, nigh_queue_fd(h.queue), completed);
    if (threads == NIGH_THREADS_NONE)
        watch(&h, &h.ticks, nigh_tick_fd(h.w.cache), due);
    ask_on(&h);
    CHECK_EQ(uv_run(&h.loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(h.ended, FETCHES);
    CHECK_EQ(h.w.origin.rows, KEYS);
    uv_close((uv_handle_t *)&h.completions, NULL);
    if (h.ticks.data)
        uv_close((uv_handle_t *)&h.ticks, NULL);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    CHECK_EQ(uv_loop_close(&h.loop), 0);
    nigh_queue_close(h.queue);
    world_close(&h.w);
    redis_stop(&server);
}

TEST(a_loop_beside_our_threads)
{
    serve(NIGH_THREADS_OWN);
}

TEST(a_loop_that_does_all_work)
{
    serve(NIGH_THREADS_NONE);
}
