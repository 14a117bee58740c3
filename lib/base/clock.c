// SPDX-License-Identifier: MIT
/*
 * The kernel's clocks, and deadlines that cannot wrap.
 *
 * CLOCK_MONOTONIC stands still while the machine is suspended but not while the process is stopped,
 * which is what trust needs: a stopped process must wake up distrusting what it holds.
 */
#include "base/clock.h"

#include <dlfcn.h>
#include <string.h>

/* Read and written relaxed: libc's function and the kernel's are both right. */
struct clock_direct clock_direct = {clock_gettime};

/* The kernel names the function differently by architecture: vdso(7). Where it is not found
 * (valgrind, another libc, a program without a dynamic linker) libc's function stays in use. */
void clock_find_direct(void)
{
    static const char *const names[] = {"__vdso_clock_gettime", "__kernel_clock_gettime"};
    void *page = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
    for (size_t i = 0; page && i < ARRAY_COUNT(names); i++) {
        void *found = dlsym(page, names[i]);
        clock_gettime_fn *function;
        if (!found)
            continue;
        memcpy(&function, &found, sizeof(function)); /* POSIX' way to make a function of it */
        atomic_store_explicit(&clock_direct.gettime, function, memory_order_relaxed);
        break;
    }
}

void clock_hook_init(struct clock_hook *hook, uint64_t (*read)(void *arg), void *arg)
{
    *hook = (struct clock_hook){read, arg, read(arg)};
}

/* Takes the difference modulo 2^64 and as signed: so the host's clock may run over, and go back. */
uint64_t clock_hook_ns(void *hook)
{
    const struct clock_hook *h = hook;
    int64_t since_ns = (int64_t)(h->read(h->arg) - h->began_ns);
    return since_ns < -(int64_t)CLOCK_HOOK_START_NS ? 0 : CLOCK_HOOK_START_NS + (uint64_t)since_ns;
}

uint64_t clock_coarse_step_ns(const struct clock *c)
{
    struct timespec step = {0, 0};
    if (c->read)
        return 0; /* an injected clock is exact by definition */
    clock_getres(CLOCK_MONOTONIC_COARSE, &step);
    return (uint64_t)step.tv_sec * NS_PER_S + (uint64_t)step.tv_nsec;
}

uint64_t clock_deadline_ns(const struct clock *c, uint32_t ms)
{
    if (ms == UINT32_MAX)
        return CLOCK_NEVER_NS;
    uint64_t now = clock_now_ns(c), wait = ms * NS_PER_MS;
    return now > CLOCK_NEVER_NS - wait ? CLOCK_NEVER_NS : now + wait;
}
