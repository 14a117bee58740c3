/* SPDX-License-Identifier: MIT */
/*
 * l2_values.h - values of many lengths in a test's server, and each role that drives a connection
 * reading them: threads, a caller alone, a host that sleeps on the descriptor, the listener.
 *
 * The roles' laws are the same over every kind of stream; a test says over which.
 */
#ifndef NIGH_TEST_L2_VALUES_H
#define NIGH_TEST_L2_VALUES_H

#include "support/l2_client.h"

struct values {
    struct client *client;
    struct redis *server;
    int count;                /* keys k0, k1 ... */
    size_t (*len_of)(int i);  /* of the value of ki */
};

/* Store all of them: each is the beginning of one text. */
void values_store(const struct values *v);
struct l2_key values_key(int i, char name[8]);
/* Check that an answer, which is freed, has the value of ki. False: a busy machine has lost the
 * connection. */
bool values_check(const struct values *v, struct l2_answer *a, int i);
/* Check that `value` is the first `len` bytes of the text. */
void values_check_text(struct bytes value, size_t len);
/* Ask for ki, and check the answer. */
bool values_ask(const struct values *v, int i);

/* ---- the roles ---- */

/* Ask for `rounds` of them on each of `threads` threads. */
void values_ask_on_threads(const struct values *v, unsigned threads, unsigned rounds);
/* Ask for each of them as a host without our threads does, which sleeps on the descriptor alone.
 * The client is connected. */
void values_ask_asleep(const struct values *v);
/* Publish `count` messages, of len_of(0), len_of(1) ... bytes, and check that a subscription hears
 * all of them in order (or that a busy machine has lost it). */
void values_hear(const struct values *v, unsigned count, size_t (*len_of)(int i));

#endif
