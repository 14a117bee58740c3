// SPDX-License-Identifier: MIT
#include "support/l2_values.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

enum { TEXT_BYTES = 1 << 20, THREADS_MAX = 16 };

static char text[TEXT_BYTES];

void values_store(const struct values *v)
{
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 23);
    for (int i = 0; i < v->count; i++) {
        REQUIRE(v->len_of(i) <= sizeof(text));
        free(redis_command(v->server, "SET t:!2:s:1:k%d %b", i, text, v->len_of(i)));
    }
}

struct l2_key values_key(int i, char name[8])
{
    snprintf(name, 8, "k%d", i);
    return client_key(name);
}

void values_check_text(struct bytes value, size_t len)
{
    CHECK_MEM(value.data, value.len, text, len);
}

bool values_check(const struct values *v, struct l2_answer *a, int i)
{
    bool answered = a->status != NIGH_EOFFLINE;
    if (answered) {
        CHECK_EQ(a->status, 0);
        CHECK_EQ(a->verdict, L2_VALUE);
        values_check_text(a->value, v->len_of(i));
    }
    l2_answer_free(a);
    return answered;
}

bool values_ask(const struct values *v, int i)
{
    char name[8];
    struct l2_key key = values_key(i, name);
    return values_check(v, CLIENT_ASK(v->client, l2_get, &key), i);
}

/* ---- threads ---- */

struct asker {
    const struct values *v;
    pthread_t thread;
    uint64_t dice;
    unsigned rounds;
    unsigned answered;
};

static void *ask_many(void *arg)
{
    struct asker *a = arg;
    for (unsigned i = 0; i < a->rounds; i++)
        a->answered += values_ask(a->v, (int)(check_random(&a->dice) % (unsigned)a->v->count));
    return NULL;
}

void values_ask_on_threads(const struct values *v, unsigned threads, unsigned rounds)
{
    struct asker askers[THREADS_MAX];
    unsigned answered = 0;
    REQUIRE(threads <= THREADS_MAX);
    for (unsigned i = 0; i < threads; i++) {
        askers[i] = (struct asker){.v = v, .dice = check_seed() + i, .rounds = rounds};
        REQUIRE_EQ(pthread_create(&askers[i].thread, NULL, ask_many, &askers[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(askers[i].thread, NULL);
        answered += askers[i].answered;
    }
    CHECK(answered == threads * rounds || stats_read(&v->client->stats, STATS_L2_LOST) > 0);
}

/* ---- a host without our threads ---- */

struct asked {
    const struct values *v;
    int i;
    bool done;
};

static void be_answered(void *arg, struct l2_answer *answer)
{
    struct asked *a = arg;
    values_check(a->v, answer, a->i);
    a->done = true;
}

/* Sleeps for as long as it may take. */
static void sleep_on_link(struct l2 *l2)
{
    struct pollfd fd = {.fd = l2_poll_fd(l2), .events = POLLIN};
    if (l2_rest(l2))
        CHECK_EQ(poll(&fd, 1, CLIENT_DEADLINE_MS), 1);
    l2_rested(l2);
}

static void ask_asleep(const struct values *v, int i)
{
    char name[8];
    struct l2 *l2 = v->client->l2;
    struct l2_key key = values_key(i, name);
    struct asked asked = {v, i, false};
    const struct l2_op op = l2_op_of(
        clock_deadline_ns(v->client->env.clock, CLIENT_DEADLINE_MS), be_answered, &asked);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_step(l2, 0), l2_get(l2, &key, &op) == 0)));
    while (!asked.done) {
        l2_step(l2, 0);
        if (!asked.done)
            sleep_on_link(l2);
    }
}

void values_ask_asleep(const struct values *v)
{
    for (int i = 0; i < v->count; i++)
        ask_asleep(v, i);
}

/* ---- the listener ---- */

struct heard {
    size_t (*len_of)(int i);
    unsigned ups;
    unsigned messages;
};

static void hear(void *arg, struct bytes payload)
{
    struct heard *h = arg;
    values_check_text(payload, h->len_of((int)h->messages++));
}

static void be_up(void *arg)
{
    struct heard *h = arg;
    h->ups++;
}

static void be_down(void *arg)
{
    (void)arg;
}

void values_hear(const struct values *v, unsigned count, size_t (*len_of)(int i))
{
    struct l2_channel *channel;
    struct heard h = {.len_of = len_of};
    const struct l2_channel_config config = {v->client->l2, hear, hear, be_up, be_down, &h};
    REQUIRE_EQ(l2_channel_create(&config, &channel), 0);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_channel_step(channel, NS_PER_MS), h.ups == 1)));
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(redis_integer(v->server, "PUBLISH t:!2:!inv:0 %b", text, len_of((int)i)), 1);
    CHECK_WITHIN(CLIENT_DEADLINE_MS,
                 (l2_channel_step(channel, CLIENT_DEADLINE_MS * NS_PER_MS / 100),
                  h.messages == count || h.ups > 1));
    l2_channel_destroy(channel);
}
