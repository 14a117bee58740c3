// SPDX-License-Identifier: MIT
// The block of a request: who holds it, and when it goes back to its pool.

#include "l2/request.h"

#include "l2/client.h"

/* A sanitizer sees the end of a block only where it is freed. */
#define KEPT (NIGH_SANITIZED ? 0 : POOL_SLOTS)

struct pool *request_pool_create(struct mem *mem)
{
    return pool_create(mem, REQUEST_BYTES, KEPT);
}

struct request *request_create(struct pool *pool, struct mem *mem, struct command *command)
{
    struct request *r = pool_take(pool);
    if (!r)
        return NULL;
    *r = (struct request){.answer = &r->own, .pool = pool};
    atomic_init(&r->holders, 2);
    answer_init(&r->own, mem);
    command_init(command, mem, r->room, REQUEST_ROOM);
    command->request = r;
    return r;
}

static void let_go(struct request *r)
{
    /* pair(l2.request): each holder releases what it did there, the last acquires all of it */
    if (atomic_fetch_sub_explicit(&r->holders, 1, memory_order_acq_rel) == 1)
        pool_give(r->pool, r);
}

static void free_gathered(struct answer *a)
{
    struct gathered *g = a->gathered;
    for (uint32_t i = 0; i < g->part_count; i++)
        l2_answer_free(g->parts[i]);
    mem_free(a->mem, NULL, g, g->size);
}

void l2_answer_free(struct l2_answer *answer)
{
    if (!answer || waiter_is_late(answer))
        return;
    struct answer *a = CONTAINER_OF(answer, struct answer, public);
    if (a->gathered)
        free_gathered(a);
    answer_fini(a);
    let_go(CONTAINER_OF(a, struct request, own));
}

void request_end(struct request *r)
{
    command_wire_free(r->own.mem, &r->wire);
    if (r->answer)
        l2_answer_free(&r->answer->public);
    let_go(r);
}

/* ---- lists ---- */

struct request *request_list_pop(struct request_list *l)
{
    struct request *r = l->head;
    if (!r)
        return NULL;
    l->head = r->next;
    if (!l->head)
        l->tail = &l->head;
    l->count--;
    return r;
}

void request_list_move(struct request_list *to, struct request_list *from)
{
    request_list_init(to);
    if (from->head) {
        to->head = from->head;
        to->tail = from->tail;
        to->count = from->count;
    }
    request_list_init(from);
}
