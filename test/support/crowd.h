/* SPDX-License-Identifier: MIT */
/*
 * crowd.h - many clients of a web server at once: kept connections that ask as fast as they are
 * answered, driven by one thread.
 *
 *     struct crowd c = {.port = port, .judge = is_right, .arg = &what_is_right};
 *     crowd_start(&c);
 *     ...
 *     crowd_stop(&c);
 *     CHECK_EQ(c.failed, 0);
 *
 * An answer that is cut, a connection that ends, and what the judge does not like have failed.
 */
#ifndef NIGH_TEST_CROWD_H
#define NIGH_TEST_CROWD_H

#include <pthread.h>
#include <stdatomic.h>

#include "support/http.h"

#define CROWD_CONNECTIONS 64

struct crowd {
    unsigned port;
    /* The path of the n-th question, and what its answer has to be: any number, for the judge. */
    long long (*ask)(void *arg, unsigned n, char *path, size_t size);
    bool (*judge)(void *arg, long long wanted, const struct http_answer *answer);
    void *arg;
    _Atomic unsigned answered; /* in all */
    _Atomic unsigned failed;   /* among `answered`; the first is printed as a note */
    _Atomic bool stopping;
    pthread_t thread;
};

void crowd_start(struct crowd *c);
/* Every question that is under way gets its answer before. */
void crowd_stop(struct crowd *c);

#endif
