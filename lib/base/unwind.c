// SPDX-License-Identifier: MIT
/*
 * Notices how calls end, stops exceptions, and tells which frames are gone, in C.
 *
 * An unwinder asks the personality routine of each frame what to do: first whether any frame has a
 * handler, then once more frame by frame. C cannot express that, but any function may be given a
 * routine by a directive of the assembler, as compilers do: noting() hears how a call ends,
 * catching() says that it is the handler, and then jumps to where unwind_catch() was called, which
 * is allowed since by then the frames in between have had their turn. A thread that ends asks
 * nobody for a handler. Source: Itanium C++ ABI, Exception Handling, level I.
 *
 * Stacks grow downwards, so a frame whose address is below the frame that asks is gone. For a frame
 * above, unwind_is_gone() walks the stack: either it meets the frame of unwind_watch() at that
 * address, or it passes the address, and another frame is there now. Where the walk ends before
 * (code without unwind tables), the frame is not known to be gone.
 */
#include "base/unwind.h"

#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <unwind.h>

#include "base/check.h"

struct catcher {
    jmp_buf point;
    struct catcher *outer;
    struct _Unwind_Exception *caught;
};

static _Thread_local enum unwind_how last_how;
static _Thread_local struct catcher *catcher;

/* ---- personality routines ---- */

/* Gives the function a personality routine. 0x1b: as a distance in 32 bits, which suffices for a
 * hidden symbol (DW_EH_PE_pcrel | DW_EH_PE_sdata4). */
#define PERSONALITY(routine) __asm__ volatile(".cfi_personality 0x1b, " #routine)

NIGH_HIDDEN _Unwind_Reason_Code unwind_noting(int version, _Unwind_Action actions,
                                              _Unwind_Exception_Class class,
                                              struct _Unwind_Exception *exception,
                                              struct _Unwind_Context *context);
NIGH_HIDDEN _Unwind_Reason_Code unwind_catching(int version, _Unwind_Action actions,
                                                _Unwind_Exception_Class class,
                                                struct _Unwind_Exception *exception,
                                                struct _Unwind_Context *context);

_Unwind_Reason_Code unwind_noting(int version, _Unwind_Action actions,
                                  _Unwind_Exception_Class class,
                                  struct _Unwind_Exception *exception,
                                  struct _Unwind_Context *context)
{
    (void)version, (void)class, (void)exception, (void)context;
    last_how = actions & _UA_FORCE_UNWIND ? UNWIND_EXIT : UNWIND_EXCEPTION;
    return _URC_CONTINUE_UNWIND;
}

_Unwind_Reason_Code unwind_catching(int version, _Unwind_Action actions,
                                    _Unwind_Exception_Class class,
                                    struct _Unwind_Exception *exception,
                                    struct _Unwind_Context *context)
{
    (void)version, (void)class, (void)context;
    if (actions & _UA_SEARCH_PHASE)
        return _URC_HANDLER_FOUND;
    if (!(actions & _UA_HANDLER_FRAME))
        return _URC_CONTINUE_UNWIND;
    catcher->caught = exception;
    _longjmp(catcher->point, 1);
}

/* ---- watching ---- */

__attribute__((noinline)) void unwind_watch(struct unwind_mark *mark, void (*call)(void *arg),
                                            void *arg)
{
    PERSONALITY(unwind_noting);
    mark->frame = (uintptr_t)__builtin_frame_address(0);
    call(arg);
    __asm__ volatile(""); /* or the call would become a jump, and this function have no frame */
}

enum unwind_how unwind_how(void)
{
    return last_how;
}

/* ---- catching ---- */

static __attribute__((noinline)) void call_caught(void (*call)(void *arg), void *arg)
{
    PERSONALITY(unwind_catching);
    call(arg);
    __asm__ volatile("");
}

/* C++ counts the exceptions under way in a thread; only these functions count them down. */
extern void *__cxa_begin_catch(void *exception) __attribute__((weak));
extern void __cxa_end_catch(void) __attribute__((weak));

static bool is_cxx(const struct _Unwind_Exception *exception)
{
    const uint64_t gnu = UINT64_C(0x474e5543432b2b00), llvm = UINT64_C(0x434c4e47432b2b00);
    uint64_t class = (uint64_t)exception->exception_class & ~UINT64_C(0xff);
    return class == gnu || class == llvm;
}

static void drop(struct _Unwind_Exception *exception)
{
    if (is_cxx(exception) && __cxa_begin_catch && __cxa_end_catch) {
        __cxa_begin_catch(exception);
        __cxa_end_catch();
    } else {
        _Unwind_DeleteException(exception);
    }
}

bool unwind_catch(void (*call)(void *arg), void *arg)
{
    struct catcher here = {.outer = catcher};
    catcher = &here;
    bool thrown = _setjmp(here.point) != 0;
    if (!thrown)
        call_caught(call, arg);
    catcher = here.outer;
    if (here.caught)
        drop(here.caught);
    return thrown;
}

/* ---- missing ---- */

struct stack {
    uintptr_t low, high;
    bool known;
};

static void look_up(struct stack *s)
{
    pthread_attr_t attr;
    void *low;
    size_t size;
    s->known = true;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    if (pthread_attr_getstack(&attr, &low, &size) == 0) {
        s->low = (uintptr_t)low;
        s->high = s->low + size;
    }
    pthread_attr_destroy(&attr);
}

/* Whether an address is on this thread's own stack. */
static bool is_own(uintptr_t at)
{
    static _Thread_local struct stack own;
    if (!own.known)
        look_up(&own);
    return at >= own.low && at < own.high;
}

struct walk {
    uintptr_t frame;
    bool watching; /* the frame visited last was one of unwind_watch() */
    bool gone;
};

/* Visits a frame. (Unwinders call the lowest address of a frame its "CFA".) */
static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *arg)
{
    struct walk *w = arg;
    if (_Unwind_GetCFA(context) > w->frame) {
        w->gone = !w->watching;
        return _URC_END_OF_STACK; /* seen enough */
    }
    w->watching = _Unwind_GetRegionStart(context) == (uintptr_t)unwind_watch;
    return _URC_NO_REASON;
}

bool unwind_is_gone(const struct unwind_mark *mark)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    struct walk w = {.frame = mark->frame};
    if (!is_own(mark->frame) || !is_own(here))
        return false;
    if (here > mark->frame)
        return true;
    _Unwind_Backtrace(visit, &w);
    return w.gone;
}
