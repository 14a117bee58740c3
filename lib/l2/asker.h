/* SPDX-License-Identifier: MIT */
/*
 * An asker has the host's function say the password, on a thread that may be left behind.
 *
 *     asker_ask() --- asks ---> thread "nigh-password" --- in time ---> the answer
 *                                                      --- later  ---> the next asker_ask() has it
 *
 * The function must not stand still, for requests wait for it. One that does costs them
 * ASKER_WAIT_NS, once for each time that it is called, and closing as long again: then its thread
 * is left in it. Without own threads it is called on the thread that asks, which is the host's.
 *
 * Thread-safety: asker_ask() by one thread at a time, and not beside asker_leave().
 */
#ifndef NIGH_L2_ASKER_H
#define NIGH_L2_ASKER_H

#include "l2/l2.h"
#include "l2/uri.h"

#define ASKER_WAIT_NS NS_PER_S

struct asker;

/* `apart`: the function gets a thread. NULL: no memory. */
struct asker *asker_create(l2_password_fn fn, void *arg, bool apart);
/* Asks, unless the last question is still without answer, or has got one since. NULL: the password
 * is in the text; or why it is not. */
const char *asker_ask(struct asker *a, char text[URI_PASSWORD_MAX]);
/* Ends the asking; NULL is fine. Returns whether the function has returned. */
bool asker_leave(struct asker *a);

#endif
