// SPDX-License-Identifier: MIT
// Fibers on ucontext. The first entry into a stack goes through makecontext(); all later switches
// through _setjmp() and _longjmp(), which make no system call. Under AddressSanitizer every switch
// is announced to it, and goes through swapcontext(), which it understands.

#include "sim/fiber.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <nigh/load.h>

#include "cache/caller.h"
#include "cache/load/fill.h"
#include "cache/workers.h"
#include "flight/flight.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES (512u * 1024)
#else
#define STACK_BYTES (128u * 1024)
#endif

struct fiber {
    fiber_fn run;
    void *arg;
    char *stack;
    ucontext_t context;
    jmp_buf point;
    bool started;
    bool ended;
    struct fiber *next_free;
    /* what the library keeps per thread */
    struct flight_thread flight;
    bool on_worker;
    struct caller_thread caller;
    int load_error;
};

static struct fiber *current;
static struct fiber *free_list;
static uint64_t tokens;

struct fiber *fiber_current(void)
{
    return current;
}

static struct fiber *take(void)
{
    struct fiber *f = free_list;
    if (f) {
        free_list = f->next_free;
        char *stack = f->stack;
        *f = (struct fiber){.stack = stack};
        return f;
    }
    f = calloc(1, sizeof(*f));
    f->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->stack == MAP_FAILED)
        abort();
    return f;
}

struct fiber *fiber_create(fiber_fn run, void *arg)
{
    struct fiber *f = take();
    f->run = run;
    f->arg = arg;
    f->flight.token = ++tokens;
    return f;
}

static void give(struct fiber *f)
{
    f->next_free = free_list;
    free_list = f;
}

void fiber_abandon(struct fiber *f)
{
    give(f);
}

/* Exchange what the library keeps per thread with what this fiber has. */
static void swap_thread(struct fiber *f)
{
    flight_thread_swap(&f->flight);
    f->on_worker = workers_swap_on_worker(f->on_worker);
    caller_thread_swap(&f->caller);
    int error = nigh_load_error();
    cache_set_load_error(f->load_error);
    f->load_error = error;
}

/* ---- switching ---- */

static void enter(void);

static void prepare(struct fiber *f)
{
    f->started = true;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, enter, 0);
}

#ifdef __SANITIZE_ADDRESS__

static ucontext_t main_context;
static const void *main_stack;
static size_t main_stack_size;

/* From a fiber to who resumed it. */
static void to_main(struct fiber *f, bool last)
{
    void *fake;
    __sanitizer_start_switch_fiber(last ? NULL : &fake, main_stack, main_stack_size);
    swapcontext(&f->context, &main_context);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

/* To a fiber, until it comes back. */
static void to_fiber(struct fiber *f)
{
    void *fake;
    if (!f->started)
        prepare(f);
    __sanitizer_start_switch_fiber(&fake, f->stack, STACK_BYTES);
    swapcontext(&main_context, &f->context);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

static void arrive(void)
{
    __sanitizer_finish_switch_fiber(NULL, &main_stack, &main_stack_size);
}

#else

static jmp_buf main_point;

static void to_main(struct fiber *f, bool last)
{
    (void)last;
    if (_setjmp(f->point) == 0)
        _longjmp(main_point, 1);
}

static void to_fiber(struct fiber *f)
{
    if (_setjmp(main_point) != 0)
        return;
    if (f->started)
        _longjmp(f->point, 1);
    prepare(f);
    setcontext(&f->context);
}

static void arrive(void)
{
}

#endif

/* Where a fiber begins. */
static void enter(void)
{
    struct fiber *f = current;
    arrive();
    f->run(f->arg);
    f->ended = true;
    to_main(f, true);
    abort();
}

bool fiber_resume(struct fiber *f)
{
    if (current)
        abort();
    current = f;
    swap_thread(f);
    to_fiber(f);
    f = current;
    swap_thread(f);
    current = NULL;
    if (!f->ended)
        return false;
    give(f);
    return true;
}

void fiber_yield(void)
{
    to_main(current, false);
}
