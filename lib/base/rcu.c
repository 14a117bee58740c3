// SPDX-License-Identifier: MIT
/*
 * The slow half of RCU: grace periods, and surviving fork().
 *
 * After fork the child has one thread, but liburcu's registry still lists the readers of the
 * parent, and its locks may be held by threads that no longer exist; its handlers hold the locks
 * across the fork and clean the registry. Handlers stay installed: libnigh is linked with
 * -z nodelete, so they cannot outlive their code.
 */
#include "base/rcu.h"

#include <pthread.h>

#include <nigh/error.h>

#ifdef RCU_TSAN
char rcu_tsan_token;
#endif

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_result;

static void install(void)
{
    fork_result =
        pthread_atfork(urcu_bp_before_fork, urcu_bp_after_fork_parent, urcu_bp_after_fork_child);
}

int rcu_install_fork_handlers(void)
{
    pthread_once(&fork_once, install);
    return fork_result ? NIGH_ENOMEM : 0;
}

void rcu_wait(void)
{
    urcu_bp_synchronize_rcu();
    RCU_TSAN_ACQUIRE();
}
