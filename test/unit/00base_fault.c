// SPDX-License-Identifier: MIT
/*
 * Fault points: the n-th call fails, once, whichever thread makes it. Debug builds only.
 */
#include <pthread.h>

#include "base/base.h"
#include "support/check.h"

#if NIGH_FAULTS

TEST(nth_call_fails_once)
{
    fault_arm(FAULT_READ, 3);
    CHECK(!fault_fires(FAULT_READ));
    CHECK(!fault_fires(FAULT_READ));
    CHECK(fault_fires(FAULT_READ));
    CHECK(!fault_fires(FAULT_READ));
    CHECK_EQ(fault_count(FAULT_READ), 4);
}

TEST(disarmed_site_only_counts)
{
    fault_arm(FAULT_WRITE, 0);
    for (int i = 0; i < 10; i++)
        CHECK(!fault_fires(FAULT_WRITE));
    CHECK_EQ(fault_count(FAULT_WRITE), 10);
}

TEST(sites_are_independent)
{
    fault_arm(FAULT_READ, 1);
    fault_arm(FAULT_WRITE, 0);
    CHECK(!fault_fires(FAULT_WRITE));
    CHECK(fault_fires(FAULT_READ));
}

enum { THREADS = 4, CALLS = 10000 };
static _Atomic unsigned fired;

static void *call(void *arg)
{
    (void)arg;
    for (int i = 0; i < CALLS; i++)
        if (fault_fires(FAULT_SOCKET))
            atomic_fetch_add(&fired, 1);
    return NULL;
}

TEST(one_call_of_many_threads_fails)
{
    pthread_t threads[THREADS];
    fault_arm(FAULT_SOCKET, THREADS * CALLS / 2);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, call, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(fired, 1);
    CHECK_EQ(fault_count(FAULT_SOCKET), THREADS * CALLS);
}

#else

TEST(release_builds_never_fail_on_purpose)
{
    for (int site = 0; site < FAULT_SITE_COUNT; site++)
        CHECK(!fault_fires((enum fault_site)site));
}

#endif
