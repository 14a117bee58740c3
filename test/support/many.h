/* SPDX-License-Identifier: MIT */
/*
 * Fetching many keys, for tests.
 *
 *     struct bunch b;
 *     bunch_init(&b, "a b c");              // or bunch_number(&b, "k", 40): k-0 .. k-39
 *     bunch_fetch(&b, w.space, NULL);
 *     CHECK_ANSWER(b.answers[1], NIGH_FRESH, "b=1");
 *
 * bunch_start() does it on a thread of its own, bunch_join() waits for that.
 */
#ifndef NIGH_TEST_MANY_H
#define NIGH_TEST_MANY_H

#include <stdio.h>
#include <string.h>

#include "support/async.h"

#define BUNCH_MAX 600u

struct bunch {
    unsigned count;
    char names[BUNCH_MAX][16];
    struct nigh_key keys[BUNCH_MAX];
    struct nigh_value values[BUNCH_MAX];
    int outcomes[BUNCH_MAX];
    struct answer answers[BUNCH_MAX]; /* copied out; the values are released */
    int rc;
    int load_error;
    struct nigh_space *space;
    struct nigh_call call;
    pthread_t thread;
    _Atomic bool done;
};

static inline void bunch_add(struct bunch *b, const char *name)
{
    unsigned i = b->count++;
    REQUIRE(i < BUNCH_MAX);
    snprintf(b->names[i], sizeof(b->names[i]), "%s", name);
    b->keys[i] = (struct nigh_key){b->names[i], strlen(b->names[i])};
}

/* Names with a blank between them. */
static inline void bunch_init(struct bunch *b, const char *names)
{
    char copy[256], *rest = copy, *name;
    memset(b, 0, sizeof(*b));
    snprintf(copy, sizeof(copy), "%s", names);
    while ((name = strsep(&rest, " ")))
        bunch_add(b, name);
}

static inline void bunch_number(struct bunch *b, const char *stem, unsigned count)
{
    char name[16];
    memset(b, 0, sizeof(*b));
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%s-%u", stem, i);
        bunch_add(b, name);
    }
}

static inline void bunch_copy_out(struct bunch *b)
{
    for (unsigned i = 0; i < b->count; i++)
        b->answers[i] = answer_of(b->outcomes[i], &b->values[i]);
}

static inline void bunch_fetch(struct bunch *b, struct nigh_space *space,
                               const struct nigh_call *call)
{
    b->rc = nigh_fetch_many(space, b->keys, b->count, call, b->values, b->outcomes);
    b->load_error = nigh_load_error();
    if (CHECK_EQ(b->rc, 0))
        bunch_copy_out(b);
}

static inline void *bunch_main(void *arg)
{
    struct bunch *b = arg;
    bunch_fetch(b, b->space, &b->call);
    atomic_store(&b->done, true);
    return NULL;
}

static inline void bunch_start(struct bunch *b, struct nigh_space *space,
                               const struct nigh_call *call)
{
    b->space = space;
    b->call = call ? *call : (struct nigh_call)NIGH_CALL_INIT;
    REQUIRE_EQ(pthread_create(&b->thread, NULL, bunch_main, b), 0);
}

static inline void bunch_join(struct bunch *b)
{
    pthread_join(b->thread, NULL);
}

/* Whether all have this outcome, and the text name=generation. */
static inline void bunch_check_all(const struct bunch *b, int outcome, unsigned generation)
{
    char text[32];
    for (unsigned i = 0; i < b->count; i++) {
        snprintf(text, sizeof(text), "%s=%u", b->names[i], generation);
        CHECK_ANSWER(b->answers[i], outcome, text);
    }
}

#endif
