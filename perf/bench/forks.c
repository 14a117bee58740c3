// SPDX-License-Identifier: MIT
/*
 * Several builds of the library are in this program, and each installs liburcu's fork handlers
 * (rcu_install()). These take a lock that is no recursive one: installed twice, they would stop the
 * next fork() for ever. So the linker leads all here (--wrap), and the first ones are enough: there
 * is one liburcu.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <urcu-bp.h>

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    static _Atomic bool has_urcu;
    if (prepare == urcu_bp_before_fork && atomic_exchange(&has_urcu, true))
        return 0;
    return __real_pthread_atfork(prepare, parent, child);
}
