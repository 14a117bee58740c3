// SPDX-License-Identifier: MIT
// The look-up of a host's name on a thread that may be left behind.
//
// The record is malloc's and not the cache's: it outlives the cache's memory when it is left. Its
// lock is held for copying only. `wake` is called under it, so that once lookup_leave() has
// returned nobody is called any more.
//
// Addresses that were found are good for FRESH_NS: both connections of a node are made from one
// answer, and a name that leads elsewhere after a failover is followed soon. A failure to find any
// is told once.

#include "l2/lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#define FRESH_NS (2 * NS_PER_S)

/* Keys: (c) constant after create   (l) lock */
struct lookup {
    pthread_mutex_t lock;
    char host[256];                 /* (c) */
    l2_look_up_fn look_up;          /* (c) */
    void (*wake)(void *arg);        /* (l) NULL: left behind */
    void *arg;                      /* (c) */
    unsigned refs;                  /* (l) the owner's, and the thread's */
    bool running;                   /* (l) */
    bool found;                     /* (l) `addresses` are good until `until_ns` */
    int error;                      /* (l) to be told once; 0: none */
    uint64_t until_ns;              /* (l) 0: no caller has taken one of them yet */
    unsigned turn;                  /* (l) number, modulo their count, of the address in use */
    unsigned failed;                /* (l) addresses that failed in a row since one was good */
    struct l2_addresses addresses;  /* (l) */
};

bool lookup_is_name(const char *host)
{
    struct in6_addr address; /* large enough for both */
    return inet_pton(AF_INET, host, &address) != 1 && inet_pton(AF_INET6, host, &address) != 1;
}

struct lookup *lookup_create(const char *host, l2_look_up_fn look_up, void (*wake)(void *arg),
                             void *arg)
{
    struct lookup *l = strlen(host) < sizeof(l->host) ? calloc(1, sizeof(*l)) : NULL;
    if (!l)
        return NULL;
    pthread_mutex_init(&l->lock, NULL);
    strcpy(l->host, host);
    l->look_up = look_up;
    l->wake = wake;
    l->arg = arg;
    l->refs = 1;
    return l;
}

static void unref_locked(struct lookup *l) RELEASES(l->lock)
{
    bool last = --l->refs == 0;
    pthread_mutex_unlock(&l->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void lookup_leave(struct lookup *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->wake = NULL;
    unref_locked(l);
}

static void *run(void *arg)
{
    struct lookup *l = arg;
    struct l2_addresses addresses = {0};
    int error = l->look_up(l->host, &addresses);
    pthread_mutex_lock(&l->lock);
    l->running = false;
    l->found = error == 0 && addresses.count > 0;
    l->error = l->found ? 0 : error ? error : -EHOSTUNREACH;
    l->until_ns = 0;
    l->addresses = addresses;
    if (l->wake)
        l->wake(l->arg);
    unref_locked(l);
    return NULL;
}

static int begin_locked(struct lookup *l) REQUIRES(l->lock)
{
    pthread_t thread;
    l->running = true;
    l->refs++;
    if (thread_start(&thread, "nigh-lookup", THREAD_STACK_BYTES, run, l) == 0) {
        pthread_detach(thread);
        return 0;
    }
    l->running = false;
    l->refs--;
    return -EAGAIN;
}

static int take_locked(struct lookup *l, uint64_t now_ns, char *ret_address) REQUIRES(l->lock)
{
    int error = l->error;
    l->error = 0;
    if (error)
        return error;
    if (l->found && l->until_ns == 0)
        l->until_ns = now_ns + FRESH_NS;
    if (!l->found || now_ns >= l->until_ns)
        return begin_locked(l);
    strcpy(ret_address, l->addresses.text[l->turn % l->addresses.count]);
    return 1;
}

int lookup_address(struct lookup *l, uint64_t now_ns, char ret_address[L2_ADDRESS_BYTES])
{
    pthread_mutex_lock(&l->lock);
    int got = l->running ? 0 : take_locked(l, now_ns, ret_address);
    pthread_mutex_unlock(&l->lock);
    return got;
}

void lookup_failed(struct lookup *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->turn++;
    l->failed++;
    pthread_mutex_unlock(&l->lock);
}

void lookup_worked(struct lookup *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->failed = 0;
    pthread_mutex_unlock(&l->lock);
}

bool lookup_has_more(struct lookup *l)
{
    if (!l)
        return false;
    pthread_mutex_lock(&l->lock);
    bool more = l->found && l->failed > 0 && l->failed < l->addresses.count;
    pthread_mutex_unlock(&l->lock);
    return more;
}
