// SPDX-License-Identifier: MIT
/*
 * The slow half of RCU: grace periods, and surviving fork().
 *
 * After fork the child has one thread, but liburcu's registry still lists the readers of the
 * parent, and its locks may be held by threads that no longer exist; its handlers hold the locks
 * across the fork and clean the registry. Handlers stay installed: libnigh is linked with
 * -z nodelete, so they cannot outlive their code.
 *
 * The lock is no recursive one, and nobody can ask whether handlers are installed: whoever installs
 * them once more (the host, another copy of this file) makes fork() wait for itself.
 *
 * So fork() waits for a grace period that is running. That takes microseconds while readers have
 * cores of their own; but it lasts as long as a reader is preempted inside a section, and liburcu
 * then sleeps by 10 ms: with more busy readers than cores it was 7 ms on average and 40 at worst.
 * There is no cheaper way. urcu_bp_synchronize_rcu() keeps one lock throughout, and while it waits
 * the readers are in lists on its own stack: a child made meanwhile would have a registry without
 * its own thread in it, and would free memory that this thread reads. Nor can a wait that has begun
 * be called off. A registry of our own would help; so does a host that starts programs by
 * posix_spawn(), which (as system() and popen() of glibc) runs no fork handlers and does not wait.
 */
#include "base/rcu.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nigh/error.h>

#ifdef RCU_TSAN
char rcu_tsan_token;
#endif

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_result;
static _Atomic bool has_records;

static void install(void)
{
    fork_result =
        pthread_atfork(urcu_bp_before_fork, urcu_bp_after_fork_parent, urcu_bp_after_fork_child);
}

/* Makes the records of liburcu's first eight readers, by entering a section once. liburcu aborts
 * when it finds no memory for them, so this first looks whether there is some. */
static bool make_records(void)
{
    size_t enough = 16 * (size_t)sysconf(_SC_PAGESIZE);
    void *probe = mmap(NULL, enough, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED)
        return false;
    munmap(probe, enough);
    rcu_enter();
    rcu_leave();
    return true;
}

int rcu_install(void)
{
    pthread_once(&fork_once, install);
    if (fork_result)
        return NIGH_ENOMEM;
    /* Takes no lock, which a fork might leave taken in the child: making them twice is harmless. */
    if (!atomic_load_explicit(&has_records, memory_order_relaxed)) {
        if (!make_records())
            return NIGH_ENOMEM;
        atomic_store_explicit(&has_records, true, memory_order_relaxed);
    }
    return 0;
}

void rcu_wait(void)
{
    urcu_bp_synchronize_rcu();
    RCU_TSAN_ACQUIRE();
}
