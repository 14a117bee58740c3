// SPDX-License-Identifier: MIT
/*
 * What undoes is no work for a signal handler, so that wakes a thread, which does it. The others go
 * on meanwhile, for milliseconds; their figures are not wanted, nor what they fail at: a call that
 * the signal has interrupted, a child that has ended by it. One thread ends the process, and any
 * other that would waits for that.
 */
#include "support/ending.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "support/fail.h"
#include "support/progress.h"

#define UNDO_MAX 4u

static void (*undo[UNDO_MAX])(void);
static unsigned undo_count;
static pid_t owner;
static int wake[2]; /* a pipe */
static atomic_bool stopped; /* by a signal */
static atomic_flag is_ended = ATOMIC_FLAG_INIT;
static _Thread_local bool ends; /* whether this thread does */

/* ---- what is undone ---- */

/* Returns to one thread. */
static void end_alone(void)
{
    while (!ends && atomic_flag_test_and_set(&is_ended))
        pause();
    ends = true;
}

void ending_yield(void)
{
    while (atomic_load(&stopped) && !ends && getpid() == owner)
        pause();
}

static void undo_all(void)
{
    if (getpid() != owner)
        return;
    end_alone();
    while (undo_count)
        undo[--undo_count]();
}

void ending_add(void (*one)(void))
{
    if (undo_count == UNDO_MAX)
        fail("too much to undo at the end");
    if (!owner)
        atexit(undo_all);
    owner = getpid();
    undo[undo_count++] = one;
}

/* ---- signals ---- */

void ending_on_signal(void (*handler)(int signal_number))
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction action = {.sa_handler = handler}, before;
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

/* A forked child has nothing to undo, and no thread that would. */
static void on_signal(int signal_number)
{
    int kept = errno;
    if (getpid() != owner)
        _exit(128 + signal_number);
    atomic_store(&stopped, true);
    if (write(wake[1], "", 1) < 0)
        _exit(ENDING_STATUS);
    errno = kept;
}

static void *await_signal(void *none)
{
    char byte;
    (void)none;
    while (read(wake[0], &byte, 1) != 1)
        ;
    end_alone();
    progress_end();
    fputs("perf: stopped; what has been printed is whole, no file was written\n", stderr);
    undo_all();
    _exit(ENDING_STATUS);
}

void ending_catch(void)
{
    pthread_t thread;
    owner = getpid();
    atexit(undo_all);
    if (pipe(wake) != 0 || pthread_create(&thread, NULL, await_signal, NULL) != 0)
        fail("cannot start a thread");
    pthread_detach(thread);
    ending_on_signal(on_signal);
}
