// SPDX-License-Identifier: MIT
// Calls that do not return: by exceptions, made here without any C++, by the end of the thread, and
// by jumps.

#include "base/unwind.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unwind.h>

#include "support/check.h"

/* ---- exceptions ---- */

static unsigned deleted;

static void delete_exception(_Unwind_Reason_Code reason, struct _Unwind_Exception *e)
{
    CHECK_EQ(reason, _URC_FOREIGN_EXCEPTION_CAUGHT);
    deleted++;
    free(e);
}

static void throw(void *arg)
{
    struct _Unwind_Exception *e = aligned_alloc(_Alignof(struct _Unwind_Exception), sizeof(*e));
    (void)arg;
    memset(e, 0, sizeof(*e));
    e->exception_class = UINT64_C(0x54455354000000);
    e->exception_cleanup = delete_exception;
    _Unwind_RaiseException(e);
    CHECK(!"nobody catches it");
}

static void do_nothing(void *arg)
{
    (void)arg;
}

/* A cleanup handler notes what ended a watched call. */
struct watched {
    void (*call)(void *arg);
    struct unwind_mark mark;
    enum unwind_how how;
    unsigned handlers;
};

static void note_how(void *arg)
{
    struct watched *w = arg;
    w->how = unwind_how();
    w->handlers++;
}

static void watch(void *arg)
{
    struct watched *w = arg;
    pthread_cleanup_push(note_how, w);
    unwind_watch(&w->mark, w->call, NULL);
    pthread_cleanup_pop(0);
}

TEST(an_exception_is_stopped_where_it_is_caught)
{
    deleted = 0;
    CHECK(!unwind_catch(do_nothing, NULL));
    for (unsigned i = 1; i <= 3; i++) {
        CHECK(unwind_catch(throw, NULL));
        CHECK_EQ(deleted, i);
    }
}

static void catch_inside(void *arg)
{
    CHECK(unwind_catch(throw, arg));
    throw(arg);
}

TEST(each_exception_is_stopped_by_the_innermost)
{
    deleted = 0;
    CHECK(unwind_catch(catch_inside, NULL));
    CHECK_EQ(deleted, 2);
    CHECK(!unwind_catch(do_nothing, NULL));
}

TEST(handlers_run_and_know_of_an_exception)
{
    struct watched w = {.call = throw, .how = UNWIND_JUMP};
    CHECK(unwind_catch(watch, &w));
    CHECK_EQ(w.handlers, 1);
    CHECK_EQ(w.how, UNWIND_EXCEPTION);
    w.call = do_nothing;
    CHECK(!unwind_catch(watch, &w));
    CHECK_EQ(w.handlers, 1);
}

/* ---- the end of the thread ---- */

static void end_thread(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static void *catch_and_go_on(void *arg)
{
    unwind_catch(watch, arg);
    return arg;
}

TEST(the_end_of_a_thread_is_not_stopped)
{
    struct watched w = {.call = end_thread, .how = UNWIND_JUMP};
    pthread_t thread;
    void *result;
    REQUIRE_EQ(pthread_create(&thread, NULL, catch_and_go_on, &w), 0);
    pthread_join(thread, &result);
    CHECK(!result);
    CHECK_EQ(w.handlers, 1);
    CHECK_EQ(w.how, UNWIND_EXIT);
}

/* ---- jumps ---- */

static jmp_buf point;
static struct unwind_mark mark;

static void jump(void *arg)
{
    (void)arg;
    CHECK(!unwind_is_gone(&mark));
    longjmp(point, 1);
}

static __attribute__((noinline)) void leave_by_jump(void)
{
    if (setjmp(point) == 0)
        unwind_watch(&mark, jump, NULL);
}

/* From frames that lie where the call that was left had its own. */
static __attribute__((noinline)) void ask_deeper(int depth, bool *ret_gone)
{
    char room[100];
    memset(room, depth, sizeof(room));
    if (depth > 0)
        ask_deeper(depth - 1, ret_gone);
    else
        *ret_gone = unwind_is_gone(&mark);
    __asm__ volatile("" : : "r"(room) : "memory");
}

TEST(a_call_that_was_left_by_a_jump_is_gone)
{
    leave_by_jump();
    CHECK(unwind_is_gone(&mark));
    for (int depth = 0; depth < 64; depth++) {
        bool gone = false;
        ask_deeper(depth, &gone);
        CHECK(gone);
    }
}

static void look_from_inside(void *arg)
{
    struct unwind_mark *outer = arg;
    bool gone = true;
    CHECK(!unwind_is_gone(outer));
    CHECK(!unwind_is_gone(&mark));
    ask_deeper(20, &gone);
    CHECK(!gone);
}

static void call_inner(void *arg)
{
    unwind_watch(&mark, look_from_inside, arg);
    CHECK(!unwind_is_gone(arg));
}

TEST(calls_under_way_are_not_gone)
{
    struct unwind_mark outer;
    unwind_watch(&outer, call_inner, &outer);
}

static void jump_from_inner(void *arg)
{
    leave_by_jump();
    CHECK(unwind_is_gone(&mark));
    CHECK(!unwind_is_gone(arg));
}

TEST(only_those_that_were_left_are_gone)
{
    struct unwind_mark outer;
    unwind_watch(&outer, jump_from_inner, &outer);
}

static ucontext_t main_context, coroutine;

static void yield(void *arg)
{
    (void)arg;
    swapcontext(&coroutine, &main_context);
}

static void run_coroutine(void)
{
    unwind_watch(&mark, yield, NULL);
}

TEST(of_a_call_on_a_foreign_stack_nothing_is_said)
{
    size_t size = 256u * 1024;
    char *stack = malloc(size);
    REQUIRE(stack);
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = size;
    coroutine.uc_link = &main_context;
    makecontext(&coroutine, run_coroutine, 0);
    swapcontext(&main_context, &coroutine); /* it waits inside the call */
    CHECK(!unwind_is_gone(&mark));
    swapcontext(&main_context, &coroutine);
    free(stack);
}
