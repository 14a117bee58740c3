// SPDX-License-Identifier: MIT
// Values of many keys: one MGET to each server that has any of them.
//
//     l2_get_many() --+--> MGET to one ------> part_done --+--> the whole, when all have come
//                     +--> MGET to another --> part_done --+
//
// Where one server has all of them the request is an ordinary one. Otherwise its answer is that of
// a request which is never sent, the whole: its waiter, or its `done`, gets the answers of the
// parts in one. A part that is refused, lost or late leaves its keys out (L2_LEFT), and has nothing
// to do with the others; only if no part is accepted the whole is refused.
//
// Who comes last makes the answer: the I/O thread of one of the links, as always. The submitter
// counts as one, for parts may be answered before all are asked for; if he is last he leaves it to
// an I/O thread, for a `done` must not be called by who has just submitted.

#include "l2/client.h"

/* Keys of one space and schema. */
struct batch {
    struct bytes space;
    struct bytes schema;
    const struct bytes *keys;
    uint32_t count;
};

struct part {
    struct gathering *of;
    uint32_t number;
};

/* Lives as long as the answer. Keys: (c) constant once submitted, and see link.h. */
struct gathering {
    struct gathered gathered; /* first: freed as such. Each part is written by who answers it */
    struct l2 *l2;            /* (c) */
    struct request *whole;    /* (c) never sent */
    struct chore chore;       /* if the submitter is last */
    _Atomic uint32_t left;    /* pair(l2.gather): parts that have to come, and the submitter */
    struct part parts[];      /* (c) one for each server, whether or not it has keys */
};

static int ask(struct link *link, const struct batch *b, const struct l2_op *op)
{
    const struct submit submit = {.op = op, .decode = answer_decode_many, .kind = SUBMIT_READ};
    const struct keys *keys = &link->l2->keys;
    struct command c;
    if (submit_begin(link->l2, &c))
        return NIGH_ENOMEM;
    c.request->own.asked = b->count;
    command_text(&c, "MGET");
    keys_add_many(&keys->now, &c, b->space, b->schema, b->keys, b->count);
    return submit_queue(link, &c, &submit);
}

/* ---- the answer ---- */

/* Gives the whole away. Its status is that of a part that is good, if any is. */
static void finish(struct link *link, struct gathering *g)
{
    struct request *whole = g->whole;
    struct l2_answer *first = NULL;
    for (uint32_t i = 0; i < g->gathered.part_count; i++) {
        struct l2_answer *part = g->gathered.parts[i];
        if (part && (!first || (first->status != 0 && part->status == 0)))
            first = part;
    }
    struct l2_answer *answer = &whole->own.public;
    answer->home = first->home;
    answer->connection = first->connection;
    answer->order = first->order;
    pipeline_hand(link, whole, first->status);
    request_end(whole);
}

static bool is_last(struct gathering *g)
{
    /* pair(l2.gather): each releases its part's answer, the last acquires them all */
    return atomic_fetch_sub_explicit(&g->left, 1, memory_order_acq_rel) == 1;
}

static void part_done(void *arg, struct l2_answer *answer)
{
    struct part *part = arg;
    struct gathering *g = part->of;
    g->gathered.parts[part->number] = answer;
    if (is_last(g))
        finish(g->l2->links[part->number], g);
}

static void finish_chore(struct link *link, struct chore *chore)
{
    finish(link, CONTAINER_OF(chore, struct gathering, chore));
}

/* ---- the requests ---- */

/* Says for each key which server it is on, and which of its keys there it is. */
static void place(struct gathering *g, const struct batch *b, uint32_t counts[])
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct l2_key key = {b->space, b->schema, b->keys[i]};
        uint32_t server = g->l2->server_of(g->l2->server_arg, &key);
        g->gathered.part_of[i] = (uint8_t)server;
        g->gathered.place_of[i] = (uint8_t)counts[server]++;
    }
}

/* Submits the part of a server. 0, or why it was refused. */
static int ask_part(struct gathering *g, uint32_t server, const struct batch *b,
                    const struct l2_op *op)
{
    struct bytes keys[L2_MANY_MAX];
    struct batch part = {b->space, b->schema, keys, 0};
    struct l2_op part_op = l2_op_of(op->deadline_ns, part_done, &g->parts[server]);
    part_op.patient = op->patient;
    for (uint32_t i = 0; i < b->count; i++)
        if (g->gathered.part_of[i] == server)
            keys[part.count++] = b->keys[i];
    return ask(g->l2->links[server], &part, &part_op);
}

/* Makes the request that is never sent, with the gathering in its answer. NULL: no memory. */
static struct gathering *gather(struct l2 *l2, const struct l2_op *op)
{
    uint32_t parts = l2->link_count;
    size_t answers_at = sizeof(struct gathering) + parts * sizeof(struct part);
    size_t size = answers_at + parts * sizeof(struct l2_answer *);
    struct gathering *g = mem_alloc_zero(l2->env->mem, size);
    struct command none;
    if (!g)
        return NULL;
    if (submit_begin(l2, &none)) {
        mem_free(l2->env->mem, NULL, g, size);
        return NULL;
    }
    g->gathered.size = size;
    g->gathered.part_count = parts;
    g->gathered.parts = (struct l2_answer **)(void *)((char *)g + answers_at);
    g->l2 = l2;
    g->whole = none.request;
    g->chore.run = finish_chore;
    for (uint32_t i = 0; i < parts; i++)
        g->parts[i] = (struct part){g, i};
    g->whole->own.gathered = &g->gathered;
    g->whole->done = op->done;
    g->whole->arg = op->arg;
    g->whole->deadline_ns = op->deadline_ns;
    return g;
}

/* Submits all parts. Returns how many were accepted; `*ret_link` is that of the last of them. */
static uint32_t ask_parts(struct gathering *g, const struct batch *b, const uint32_t counts[],
                          const struct l2_op *op, struct link **ret_link, int *ret_refused)
{
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < g->l2->link_count; i++) {
        if (counts[i] == 0)
            continue;
        atomic_fetch_add_explicit(&g->left, 1, memory_order_relaxed);
        int refused = ask_part(g, i, b, op);
        if (refused) { /* not the last one: the submitter counts, too */
            *ret_refused = refused;
            atomic_fetch_sub_explicit(&g->left, 1, memory_order_relaxed);
            continue;
        }
        *ret_link = g->l2->links[i];
        accepted++;
    }
    return accepted;
}

static int ask_several(struct l2 *l2, const struct batch *b, const struct l2_op *op)
{
    uint32_t counts[L2_SERVERS_MAX] = {0};
    struct link *link = NULL;
    int refused = NIGH_EOFFLINE;
    struct gathering *g = gather(l2, op);
    if (!g)
        return NIGH_ENOMEM;
    place(g, b, counts);
    atomic_init(&g->left, 1);
    if (op->sync && !op->done)
        waiter_begin(l2->home, op->sync, g->whole);
    if (ask_parts(g, b, counts, op, &link, &refused) == 0) {
        request_end(g->whole);
        return refused;
    }
    if (is_last(g))
        io_leave(link, &g->chore);
    return 0;
}

/* Returns the link to the server that has all of the keys; NULL: several have them. */
static struct link *link_of_all(const struct l2 *l2, const struct batch *b)
{
    struct link *link = link_of(l2, &(struct l2_key){b->space, b->schema, b->keys[0]});
    for (uint32_t i = 1; i < b->count && l2->link_count > 1; i++)
        if (link_of(l2, &(struct l2_key){b->space, b->schema, b->keys[i]}) != link)
            return NULL;
    return link;
}

int l2_get_many(struct l2 *l2, struct bytes space, struct bytes schema, const struct bytes *keys,
                uint32_t count, const struct l2_op *op)
{
    const struct batch batch = {space, schema, keys, count};
    NIGH_DCHECK(count >= 1 && count <= L2_MANY_MAX);
    struct link *link = link_of_all(l2, &batch);
    return link ? ask(link, &batch, op) : ask_several(l2, &batch, op);
}
