// SPDX-License-Identifier: MIT
// Two nodes, one server, threads that change things at random while connections are killed and the
// server is stopped: what trust vouches for has been applied, always.
//
// The judge. A change accepted at time T (its call had returned) must be applied by a node whose
// trust reaches beyond T + trust_ms, for trust is counted from a moment when Redis was asked for
// all it knew. Each key has one writer; its version counts up, so "applied" can be seen: the sink
// has been told of that version, or of a soft `all` since (which makes every value stale). For a
// tag it is its position that must not be below.

#include <pthread.h>

#include "coherence/message.h"
#include "coherence/state.h"
#include "support/coherence_node.h"
#include "support/redis.h"

#define TRUST_MS 1500u
#define BEAT_MS 200u
#define WRITERS 4
#define KEYS_PER_WRITER 64 /* so many that most are left alone for some beats, and can be judged */
#define TAGS_PER_WRITER 32

/* Redis has accepted this of a writer last. */
struct accepted_change {
    pthread_mutex_t lock;
    uint64_t version;  /* of a key; 0: none yet */
    struct coherence_position position; /* of a tag */
    uint64_t all_before[2]; /* soft `all`s that each node had seen when it began */
    uint64_t accepted_ns;
};

static struct redis server;
static struct node *nodes[2];
static struct accepted_change keys[WRITERS * KEYS_PER_WRITER];
static struct accepted_change tags[WRITERS * TAGS_PER_WRITER];
static _Atomic bool stop;
static _Atomic uint64_t accepted_count, queued_count, judged_count;

static uint64_t soft_all_count(const struct node *n)
{
    return n->groups[GROUP_SLOT_ALL][true];
}

static struct coherence_item tag_item(unsigned index, char name[16])
{
    snprintf(name, 16, "tag%u", index);
    return node_tag(name, false);
}

/* ---- writers ---- */

static void remember(struct accepted_change *a, uint64_t version, struct coherence_position at,
                     const uint64_t all_before[2])
{
    pthread_mutex_lock(&a->lock);
    a->version = version;
    a->position = at;
    a->all_before[0] = all_before[0];
    a->all_before[1] = all_before[1];
    a->accepted_ns = clock_kernel_ns(CLOCK_MONOTONIC);
    pthread_mutex_unlock(&a->lock);
    accepted_count++;
}

static void change_one(struct node *n, unsigned writer, uint64_t version, uint64_t *random)
{
    uint64_t all_before[2] = {soft_all_count(nodes[0]), soft_all_count(nodes[1])};
    struct coherence_position at = {0, 0};
    if (check_random(random) % 4) {
        unsigned index = writer * KEYS_PER_WRITER + check_random(random) % KEYS_PER_WRITER;
        if (node_change_key(n, index, version) == 0)
            remember(&keys[index], version, at, all_before);
        else
            queued_count++;
        return;
    }
    char name[16];
    unsigned index = writer * TAGS_PER_WRITER + check_random(random) % TAGS_PER_WRITER;
    struct coherence_item item = tag_item(index, name);
    if (node_change(n, &item, &at) == 0)
        remember(&tags[index], version, at, all_before);
    else
        queued_count++;
}

static void *write_all(void *arg)
{
    unsigned writer = (unsigned)(uintptr_t)arg;
    uint64_t random = check_seed() + writer;
    for (uint64_t version = 1; !stop; version++) {
        change_one(nodes[check_random(&random) % 2], writer, version, &random);
        if (check_random(&random) % 8 == 0)
            check_pause();
    }
    return NULL;
}

/* ---- the judge ---- */

/* Whether the node's trust vouches for what was accepted then. */
static bool vouches(struct node *n, uint64_t accepted_ns)
{
    uint64_t until_ns = atomic_load_explicit(coherence_trusted_until(n->c), memory_order_acquire);
    return until_ns >= TRUST_MS * NS_PER_MS && until_ns - TRUST_MS * NS_PER_MS > accepted_ns;
}

static void judge_key(unsigned node, unsigned index)
{
    struct node *n = nodes[node];
    struct accepted_change *a = &keys[index];
    pthread_mutex_lock(&a->lock);
    if (a->version != 0 && vouches(n, a->accepted_ns)) {
        judged_count++;
        if (soft_all_count(n) == a->all_before[node])
            CHECK_GE(n->keys[index], a->version);
    }
    pthread_mutex_unlock(&a->lock);
}

static void judge_tag(unsigned node, unsigned index)
{
    struct node *n = nodes[node];
    struct accepted_change *a = &tags[index];
    char name[16];
    struct coherence_item item = tag_item(index, name);
    uint8_t hash[8];
    put_le64(hash, coherence_item_hash(&item));
    pthread_mutex_lock(&a->lock);
    if (a->version != 0 && vouches(n, a->accepted_ns)) {
        struct l2_envelope e = {
            .home = n->c->state->home,
            .identity = a->position.identity,
            .sequence = a->position.sequence - 1,
            .groups = hash,
            .group_count = 1,
        };
        judged_count++;
        CHECK_NE(coherence_judge(n->c, &e, node_space_slot(), e.home), COHERENCE_FRESH);
    }
    pthread_mutex_unlock(&a->lock);
}

static void judge_everything(void)
{
    for (unsigned node = 0; node < 2; node++) {
        for (unsigned i = 0; i < WRITERS * KEYS_PER_WRITER; i++)
            judge_key(node, i);
        for (unsigned i = 0; i < WRITERS * TAGS_PER_WRITER; i++)
            judge_tag(node, i);
    }
}

static void *judge_all(void *arg)
{
    (void)arg;
    while (!stop) {
        judge_everything();
        check_pause();
    }
    return NULL;
}

/* A moves in steps of one, or not at all; only a resync takes it elsewhere. */
static void *watch_steps(void *arg)
{
    struct node *n = arg;
    struct coherence_gauges before = node_gauges(n), now;
    while (!stop) {
        now = node_gauges(n);
        if (now.identity == before.identity && now.identity != 0)
            CHECK_GE(now.applied, before.applied);
        CHECK_LE(now.identity != 0 ? now.applied : 0, now.known);
        before = now;
        check_pause();
    }
    return NULL;
}

/* ---- mischief ---- */

static void command(const char *text)
{
    free(redis_command(&server, text));
}

static void sleep_ms(unsigned ms)
{
    for (uint64_t end_ms = check_now_ms() + ms; check_now_ms() < end_ms;)
        check_pause();
}

static void mischief(uint64_t *random)
{
    switch (check_random(random) % 8) {
    case 0:
    case 1:
    case 2: command("CLIENT KILL TYPE pubsub"); break;
    case 3: command("CLIENT KILL TYPE normal"); break;
    case 4: command("PUBLISH t:!2:!inv:0 garbage"); break;
    case 5: command("DEL t:!:log"); break;
    case 6:
        redis_pause(&server);
        sleep_ms((unsigned)(check_random(random) % 400));
        redis_resume(&server);
        break;
    default: command("DEL t:!2:!clk"); break;
    }
}

/* ---- the end ---- */

/* The group table that Redis has is the one that each node has. */
static void check_positions(void)
{
    for (unsigned slot = 0; slot < NODE_SLOTS; slot++)
        for (unsigned node = 0; node < 2; node++) {
            struct coherence_group *own = &nodes[node]->c->state->groups[slot];
            struct coherence_group *first = &nodes[0]->c->state->groups[slot];
            CHECK_EQ(own->hard, first->hard);
            CHECK_EQ(own->soft, first->soft);
        }
}

static void check_the_end(void)
{
    for (unsigned node = 0; node < 2; node++) {
        uint64_t deadline_ns = clock_deadline_ns(nodes[node]->env.clock, NODE_PATIENCE_MS);
        CHECK_EQ(coherence_drain(nodes[node]->c, deadline_ns), 0);
    }
    uint64_t quiet_ns = clock_kernel_ns(CLOCK_MONOTONIC);
    CHECK_WITHIN(NODE_PATIENCE_MS, vouches(nodes[0], quiet_ns) && vouches(nodes[1], quiet_ns));
    CHECK_WITHIN(NODE_PATIENCE_MS, node_agree(nodes[0], nodes[1]));
    judge_everything();
    check_positions();
}

static void open_nodes(void)
{
    redis_start(&server, NULL);
    struct node_options o = {.uri = server.uri, .trust_ms = TRUST_MS, .beat_ms = BEAT_MS};
    for (unsigned i = 0; i < 2; i++)
        nodes[i] = node_start(o);
    for (unsigned i = 0; i < WRITERS * KEYS_PER_WRITER; i++)
        pthread_mutex_init(&keys[i].lock, NULL);
    for (unsigned i = 0; i < WRITERS * TAGS_PER_WRITER; i++)
        pthread_mutex_init(&tags[i].lock, NULL);
    REQUIRE(CHECK_WITHIN(NODE_PATIENCE_MS, node_ready(nodes[0]) && node_ready(nodes[1])));
}

TEST(what_trust_vouches_for_has_been_applied)
{
    pthread_t writers[WRITERS], judge, watchers[2];
    uint64_t random = check_seed();
    open_nodes();
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_create(&writers[i], NULL, write_all, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&watchers[i], NULL, watch_steps, nodes[i]);
    pthread_create(&judge, NULL, judge_all, NULL);
    for (uint64_t end_ms = check_now_ms() + check_seconds(5) * 1000; check_now_ms() < end_ms;) {
        mischief(&random);
        sleep_ms((unsigned)(check_random(&random) % 200));
    }
    stop = true;
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(watchers[i], NULL);
    pthread_join(judge, NULL);
    check_the_end();
    check_note("%llu accepted, %llu queued, %llu judged", (unsigned long long)accepted_count,
               (unsigned long long)queued_count, (unsigned long long)judged_count);
    check_note("resyncs %llu and %llu, gaps %llu and %llu",
               (unsigned long long)node_count(nodes[0], STATS_RESYNC),
               (unsigned long long)node_count(nodes[1], STATS_RESYNC),
               (unsigned long long)node_count(nodes[0], STATS_FRAME_GAP),
               (unsigned long long)node_count(nodes[1], STATS_FRAME_GAP));
    CHECK_GT(judged_count, 0);
    for (unsigned i = 0; i < 2; i++)
        node_stop(nodes[i]);
    redis_stop(&server);
}
