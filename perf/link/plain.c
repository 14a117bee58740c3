// SPDX-License-Identifier: MIT
/*
 * Plain hiredis: each thread has a connection and waits for its replies.
 */
#include <string.h>

#include "link/plain.h"
#include "support/fail.h"

redisContext *plain_connect(void)
{
    redisContext *c = redisConnectUnix(link_world.server.socket);
    if (!c || c->err)
        fail("hiredis cannot connect: %s", c ? c->errstr : "out of memory");
    return c;
}

void *plain_open(const struct row *row)
{
    struct plain *p = must_alloc(1, sizeof(*p));
    p->row = row;
    for (unsigned i = 0; i < row->threads; i++)
        p->connections[i] = plain_connect();
    return p;
}

void plain_close(void *self)
{
    struct plain *p = self;
    for (unsigned i = 0; i < p->row->threads; i++)
        redisFree(p->connections[i]);
    free(p);
}

void plain_keys(struct plain_args *a, unsigned at, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        plain_add(a, link_world.plain[at + i].data, link_world.plain[at + i].len);
}

static redisReply *judge(const redisContext *c, redisReply *r, int type)
{
    if (!r)
        fail("hiredis: %s", c->errstr);
    if (r->type != type)
        fail("an unexpected reply: %s", r->str ? r->str : "of another type");
    return r;
}

redisReply *plain_ask(struct plain *p, unsigned thread, const struct plain_args *a, int type)
{
    redisContext *c = p->connections[thread];
    struct plain_args copy = *a;
    return judge(c, redisCommandArgv(c, a->count, copy.data, a->lens), type);
}

void plain_send(struct plain *p, unsigned thread, const struct plain_args *a)
{
    struct plain_args copy = *a;
    if (redisAppendCommandArgv(p->connections[thread], a->count, copy.data, a->lens) != REDIS_OK)
        fail("hiredis: %s", p->connections[thread]->errstr);
}

redisReply *plain_take(struct plain *p, unsigned thread, int type)
{
    void *reply = NULL;
    redisGetReply(p->connections[thread], &reply);
    return judge(p->connections[thread], reply, type);
}

void plain_load(struct plain *p, const char *text)
{
    struct plain_args a = {.count = 0};
    plain_word(&a, "SCRIPT");
    plain_word(&a, "LOAD");
    plain_word(&a, text);
    redisReply *r = plain_ask(p, 0, &a, REDIS_REPLY_STRING);
    snprintf(p->script, sizeof(p->script), "%s", r->str);
    freeReplyObject(r);
}

/* ---- reading ---- */

static void get_one(struct plain *p, unsigned thread, unsigned at)
{
    struct plain_args a = {.count = 0};
    plain_word(&a, "GET");
    plain_keys(&a, at, 1);
    redisReply *r = plain_ask(p, thread, &a, REDIS_REPLY_STRING);
    if (r->len != LINK_VALUE_BYTES)
        fail("hiredis: a value of %zu bytes", r->len);
    freeReplyObject(r);
}

static void get(void *self, unsigned thread, uint64_t n)
{
    get_one(self, thread, link_at(thread, n, 1));
}

static void get_longer(void *self, unsigned thread, uint64_t n)
{
    const struct nigh_key *key = &link_world.longer[link_at(thread, n, 1)];
    struct plain_args a = {.count = 0};
    plain_word(&a, "GET");
    plain_add(&a, key->data, key->len);
    redisReply *r = plain_ask(self, thread, &a, REDIS_REPLY_STRING);
    if (r->len != LINK_VALUE_BYTES + LINK_ENVELOPE_BYTES)
        fail("hiredis: a value of %zu bytes", r->len);
    freeReplyObject(r);
}

static void get_singles(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    unsigned at = link_at(thread, n, p->row->keys);
    for (unsigned i = 0; i < p->row->keys; i++)
        get_one(p, thread, at + i);
}

static void mget(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    struct plain_args a = {.count = 0};
    plain_word(&a, "MGET");
    plain_keys(&a, link_at(thread, n, p->row->keys), p->row->keys);
    redisReply *r = plain_ask(p, thread, &a, REDIS_REPLY_ARRAY);
    if (r->elements != p->row->keys || r->element[0]->len != LINK_VALUE_BYTES)
        fail("hiredis: MGET brought no value");
    freeReplyObject(r);
}

static void get_pipelined(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    unsigned at = link_at(thread, n, p->row->keys);
    for (unsigned i = 0; i < p->row->keys; i++) {
        struct plain_args a = {.count = 0};
        plain_word(&a, "GET");
        plain_keys(&a, at + i, 1);
        plain_send(p, thread, &a);
    }
    for (unsigned i = 0; i < p->row->keys; i++)
        freeReplyObject(plain_take(p, thread, REDIS_REPLY_STRING));
}

static void get_misses(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    char key[48];
    for (unsigned i = 0; i < p->row->keys; i++) {
        unsigned at = link_at(thread, n, p->row->keys) + i;
        struct plain_args a = {.count = 0};
        plain_word(&a, "GET");
        plain_add(&a, key, (size_t)snprintf(key, sizeof(key), "plain:data:none:key:%06u", at));
        plain_send(p, thread, &a);
    }
    for (unsigned i = 0; i < p->row->keys; i++)
        freeReplyObject(plain_take(p, thread, REDIS_REPLY_NIL));
}

/* clang-format off */
const struct side side_hiredis_get = {
    "hiredis", "get", .open = plain_open, .call = get, .close = plain_close};
const struct side side_hiredis_longer = {
    "hiredis, 196 B", "get", .open = plain_open, .call = get_longer, .close = plain_close};
const struct side side_hiredis_singles = {
    "hiredis GETs", "get", .open = plain_open, .call = get_singles, .close = plain_close};
const struct side side_hiredis_mget = {
    "hiredis MGET", "mget", .open = plain_open, .call = mget, .close = plain_close};
const struct side side_hiredis_pipeline = {
    "GETs pipelined", "get", .open = plain_open, .call = get_pipelined, .close = plain_close};
const struct side side_hiredis_misses = {
    "GETs of no key", "get", .open = plain_open, .call = get_misses, .close = plain_close};
/* clang-format on */
