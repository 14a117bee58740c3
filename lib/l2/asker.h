/* SPDX-License-Identifier: MIT */
/*
 * An asker has the host's function say the password, on a thread that may be left behind.
 *
 *     asker_ask() ---> thread "nigh-password": the function ---> answer ---> asker_take()
 *
 * The function must not stand still. One that does keeps no request back: the connection that is
 * there takes the answer when it comes. A connection that is made waits for it, and so does
 * closing, until it has run for ASKER_WAIT_NS; then its thread is left in it. Without own threads
 * it is called by who asks, on a thread of the host's.
 *
 * Thread-safety: one thread at a time asks, takes and leaves.
 */
#ifndef NIGH_L2_ASKER_H
#define NIGH_L2_ASKER_H

#include "l2/l2.h"
#include "l2/uri.h"

#define ASKER_WAIT_NS NS_PER_S

struct asker;

enum asker_answer {
    ASKER_NOTHING, /* not asked, or not yet answered */
    ASKER_PASSWORD,
    ASKER_NONE,      /* the host has none */
    ASKER_STANDS,    /* the function has run for ASKER_WAIT_NS, and runs still */
    ASKER_NO_THREAD, /* there was none to ask it on */
};

/* `apart`: the function gets a thread. NULL: no memory. */
struct asker *asker_create(l2_password_fn fn, void *arg, bool apart);
/* Asks, unless an answer lies there or is awaited. */
void asker_ask(struct asker *a);
/* Takes the answer; `waits`: awaits it first. The text is written if it is a password. */
enum asker_answer asker_take(struct asker *a, bool waits, char text[URI_PASSWORD_MAX]);
/* Ends the asking; NULL is fine. Returns whether the function has returned. */
bool asker_leave(struct asker *a);

#endif
