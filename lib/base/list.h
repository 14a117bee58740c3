/* SPDX-License-Identifier: MIT */
/*
 * Lists and queues of links that lie in their owners' structs; nothing is allocated. A walk gets
 * from a link to its owner with CONTAINER_OF(). The caller has a lock around them.
 */
#ifndef NIGH_BASE_LIST_H
#define NIGH_BASE_LIST_H

#include <stddef.h>

/* A list, the newest first; zeroed, it is empty. A link knows what points to it, so that it is
 * taken out without a search. */
struct list_link {
    struct list_link *next;
    struct list_link **at;
};
struct list {
    struct list_link *first;
};

static inline void list_add(struct list *list, struct list_link *link)
{
    link->next = list->first;
    link->at = &list->first;
    if (link->next)
        link->next->at = &link->next;
    list->first = link;
}
/* Take out a link that is in a list. Its `next` stays, for a walk that goes on from there. */
static inline void list_remove(struct list_link *link)
{
    *link->at = link->next;
    if (link->next)
        link->next->at = link->at;
}

/* A queue: first in, first out; zeroed, it is empty. */
struct fifo_link {
    struct fifo_link *next;
};
struct fifo {
    struct fifo_link *first;
    struct fifo_link *last; /* anything, in an empty queue */
};

static inline void fifo_add(struct fifo *fifo, struct fifo_link *link)
{
    link->next = NULL;
    *(fifo->first ? &fifo->last->next : &fifo->first) = link;
    fifo->last = link;
}
/* Take the oldest link; NULL: the queue is empty. */
static inline struct fifo_link *fifo_take(struct fifo *fifo)
{
    struct fifo_link *link = fifo->first;
    if (link)
        fifo->first = link->next;
    return link;
}
/* Take the link that `at`, the first or a link's `next`, leads to; NULL: it is the end. */
static inline struct fifo_link *fifo_remove(struct fifo *fifo, struct fifo_link **at)
{
    struct fifo_link *link = *at;
    if (link)
        *at = link->next;
    if (link && fifo->last == link && fifo->first)
        fifo->last = CONTAINER_OF(at, struct fifo_link, next);
    return link;
}

#endif
