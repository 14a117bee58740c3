/* SPDX-License-Identifier: MIT */
/*
 * Calls of foreign code that may end without returning.
 *
 *   by an exception   of C++ or another language: frames are unwound one by one, and cleanup
 *                     handlers (pthread_cleanup_push; we compile with -fexceptions) run
 *   by the thread     pthread_exit(), cancellation: the same, but nobody can stop it
 *   by a jump         longjmp(): the frames are gone, and nothing has run
 */
#ifndef NIGH_BASE_UNWIND_H
#define NIGH_BASE_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

enum unwind_how { UNWIND_EXCEPTION, UNWIND_EXIT, UNWIND_JUMP };

/* Marks where a call was made, beyond the life of the call's frame. */
struct unwind_mark {
    uintptr_t frame;
};

/* Run `call(arg)`, and note in the mark where on the stack. */
void unwind_watch(struct unwind_mark *mark, void (*call)(void *arg), void *arg);
/* Tell, in a cleanup handler right above unwind_watch(), how the call ends: EXCEPTION or EXIT. */
enum unwind_how unwind_how(void);
/*
 * Whether a watched call of this thread ended by a jump. False also when that cannot be told: for a
 * call on a stack that is not the thread's own (a coroutine), or from one.
 */
bool unwind_is_gone(const struct unwind_mark *mark);

/* Run `call(arg)`, and catch an exception that leaves it. True: there was one; it is dropped. */
bool unwind_catch(void (*call)(void *arg), void *arg);

#endif
