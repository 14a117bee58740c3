// SPDX-License-Identifier: MIT
/*
 * Log: one message a second from a site, and none forgotten in the count.
 */
#include <pthread.h>
#include <stdio.h>

#include "support/check.h"
#include "support/fake_env.h"

static struct log_site site_a, site_b;

static void say(struct fake_env *f, struct log_site *site, int n)
{
    log_write(f->env.log, NIGH_LOG_WARN, site, "said %d", n);
}

TEST(site_speaks_once_a_second_and_counts_the_rest)
{
    struct fake_env f;
    fake_env_init(&f, 1);
    site_a = (struct log_site){0};
    say(&f, &site_a, 1);
    CHECK_STR(f.log_last, "said 1");
    CHECK_EQ(f.log_level, NIGH_LOG_WARN);
    say(&f, &site_a, 2);
    fake_env_advance(&f, NS_PER_S - 1);
    say(&f, &site_a, 3);
    CHECK_EQ(f.log_count, 1);

    fake_env_advance(&f, 1);
    say(&f, &site_a, 4);
    CHECK_STR(f.log_last, "said 4 (2 like it held back)");
    fake_env_advance(&f, NS_PER_S);
    say(&f, &site_a, 5);
    CHECK_STR(f.log_last, "said 5");
    CHECK_EQ(f.log_count, 3);
    fake_env_fini(&f);
}

/* Sites are shared by all caches of a process, clocks are not. */
TEST(a_site_was_silent_until_another_caches_clock_was_reached)
{
    struct fake_env late, early;
    fake_env_init(&late, 1);
    fake_env_init(&early, 1);
    fake_env_advance(&late, UINT64_C(1) << 55);
    site_a = (struct log_site){0};
    say(&late, &site_a, 1);
    CHECK_EQ(late.log_count, 1);
    say(&early, &site_a, 2);
    say(&early, &site_a, 3);
    CHECK_STR(early.log_last, "said 2");
    fake_env_advance(&early, NS_PER_S);
    say(&early, &site_a, 4);
    CHECK_STR(early.log_last, "said 4 (1 like it held back)");
    fake_env_fini(&early);
    fake_env_fini(&late);
}

TEST(sites_do_not_silence_one_another)
{
    struct fake_env f;
    fake_env_init(&f, 1);
    site_a = site_b = (struct log_site){0};
    say(&f, &site_a, 1);
    say(&f, &site_b, 2);
    CHECK_EQ(f.log_count, 2);
    for (int i = 0; i < 3; i++)
        LOG(f.env.log, NIGH_LOG_INFO, "one site in a loop");
    CHECK_EQ(f.log_count, 3);
    fake_env_fini(&f);
}

TEST(long_messages_are_cut_and_keep_their_end)
{
    struct fake_env f;
    char text[2000];
    fake_env_init(&f, 1);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    site_a = (struct log_site){.held = 7};
    log_write(f.env.log, NIGH_LOG_ERROR, &site_a, "%s", text);
    CHECK_EQ(strlen(f.log_last), sizeof(f.log_last) - 1);
    fake_env_fini(&f);
}

TEST(no_hook_is_silence)
{
    struct log silent = {0};
    site_a = (struct log_site){0};
    log_write(&silent, NIGH_LOG_ERROR, &site_a, "nobody hears");
    log_write(NULL, NIGH_LOG_ERROR, &site_a, "nobody hears");
    CHECK_EQ(site_a.next_ns, 0);
}

/* Several threads on one site: messages said and messages held add up to messages written. */
enum { THREADS = 4, MESSAGES = 20000 };
static _Atomic uint64_t ticking_ns = 1, said, told_as_held;

static uint64_t tick(void *arg)
{
    (void)arg; /* a millisecond a look: the second is up about every 1000 messages */
    return atomic_fetch_add_explicit(&ticking_ns, NS_PER_MS, memory_order_relaxed);
}

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    unsigned held = 0;
    (void)arg, (void)level;
    const char *more = strstr(message, " (");
    if (more)
        CHECK_EQ(sscanf(more, " (%u like it held back)", &held), 1);
    atomic_fetch_add(&told_as_held, held);
    atomic_fetch_add(&said, 1);
}

static void *chatter(void *arg)
{
    for (int i = 0; i < MESSAGES; i++)
        log_write(arg, NIGH_LOG_INFO, &site_b, "message %d", i);
    return NULL;
}

TEST(no_message_is_lost_from_the_sum)
{
    struct clock clock = {tick, NULL};
    struct log log = {.fn = hear, .clock = &clock};
    pthread_t threads[THREADS];
    site_b = (struct log_site){0};
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, chatter, &log) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(said + told_as_held + site_b.held, THREADS * MESSAGES);
    CHECK_GE(said, THREADS * MESSAGES / 1100); /* others look while one is about to speak */
    CHECK_LE(said, THREADS * MESSAGES / 1000 + 1);
}
