// SPDX-License-Identifier: MIT
/*
 * The price of a change to those who only do the same commands: DEL alone, DEL, XADD and PUBLISH in
 * MULTI, and the same three in a script. The keys do not exist, for nigh no more than here: it is
 * the way that is measured. The log is trimmed as nigh's is.
 */
#include <string.h>

#include "link/plain.h"
#include "support/fail.h"

static const char log_key[] = "plain:log";
static const char log_most[] = "16384";

const char link_change_text[] =
    "redis.call('DEL', unpack(KEYS, 2))\n"
    "redis.call('XADD', KEYS[1], 'MAXLEN', '~', 16384, '*', 'f', ARGV[1])\n"
    "redis.call('PUBLISH', ARGV[2], ARGV[1])\n"
    "return 1\n";

/* KEYS: the value, the lease. ARGV: the value, its ms. */
static const char set_text[] = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
                               "redis.call('DEL', KEYS[2])\n"
                               "return 1\n";

static char frame[LINK_FRAME_BYTES * LINK_BATCH_MAX];

static size_t frame_len(const struct row *row)
{
    return LINK_FRAME_BYTES + (size_t)(row->keys - 1) * 40; /* an item more each */
}

/* Other keys than those which are read. */
static void gone(struct plain_args *a, char (*names)[32], unsigned at, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        plain_add(a, names[i],
                  (size_t)snprintf(names[i], sizeof(names[i]), "plain:data:gone:key:%06u", at + i));
}

static void send_del(struct plain *p, unsigned thread, unsigned at, unsigned count)
{
    char names[LINK_BATCH_MAX][32];
    struct plain_args a = {.count = 0};
    plain_word(&a, "DEL");
    gone(&a, names, at, count);
    plain_send(p, thread, &a);
}

static void take_integers(struct plain *p, unsigned thread, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        freeReplyObject(plain_take(p, thread, REDIS_REPLY_INTEGER));
}

static void del(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    unsigned at = link_at(thread, n, p->row->keys);
    for (unsigned i = 0; i < p->row->keys; i++) {
        send_del(p, thread, at + i, 1);
        take_integers(p, thread, 1);
    }
}

static void del_pipeline(void *self, unsigned thread, uint64_t n)
{
    unsigned at = link_at(thread, n, LINK_PIPELINE);
    for (unsigned i = 0; i < LINK_PIPELINE; i++)
        send_del(self, thread, at + i, 1);
    take_integers(self, thread, LINK_PIPELINE);
}

static void del_many(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    send_del(p, thread, link_at(thread, n, p->row->keys), p->row->keys);
    take_integers(p, thread, 1);
}

static void send_words(struct plain *p, unsigned thread, const char *const *words, size_t frame_at,
                       size_t len)
{
    struct plain_args a = {.count = 0};
    for (size_t i = 0; words[i]; i++)
        if (i == frame_at)
            plain_add(&a, frame, len);
        else
            plain_word(&a, words[i]);
    plain_send(p, thread, &a);
}

static void multi(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    char names[LINK_BATCH_MAX][32];
    size_t len = frame_len(p->row);
    struct plain_args a = {.count = 0};
    plain_word(&a, "DEL");
    gone(&a, names, link_at(thread, n, p->row->keys), p->row->keys);
    send_words(p, thread, (const char *const[]){"MULTI", NULL}, SIZE_MAX, 0);
    plain_send(p, thread, &a);
    send_words(p, thread,
               (const char *const[]){"XADD", log_key, "MAXLEN", "~", log_most, "*", "f", "", NULL},
               7, len);
    send_words(p, thread,
               (const char *const[]){"PUBLISH", link_channel(p->row->audience), "", NULL}, 2, len);
    send_words(p, thread, (const char *const[]){"EXEC", NULL}, SIZE_MAX, 0);
    for (unsigned i = 0; i < 4; i++)
        freeReplyObject(plain_take(p, thread, REDIS_REPLY_STATUS));
    freeReplyObject(plain_take(p, thread, REDIS_REPLY_ARRAY));
}

static void *open_script(const struct row *row)
{
    struct plain *p = plain_open(row);
    plain_load(p, link_change_text);
    return p;
}

static void script(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    char names[LINK_BATCH_MAX][32], count[8];
    struct plain_args a = {.count = 0};
    snprintf(count, sizeof(count), "%u", 1 + p->row->keys);
    plain_word(&a, "EVALSHA");
    plain_word(&a, p->script);
    plain_word(&a, count);
    plain_word(&a, log_key);
    gone(&a, names, link_at(thread, n, p->row->keys), p->row->keys);
    plain_add(&a, frame, frame_len(p->row));
    plain_word(&a, link_channel(p->row->audience));
    freeReplyObject(plain_ask(p, thread, &a, REDIS_REPLY_INTEGER));
}

static void *open_set_script(const struct row *row)
{
    struct plain *p = plain_open(row);
    plain_load(p, set_text);
    return p;
}

/* As long as an envelope around the value. */
static void send_set(struct plain *p, unsigned thread, unsigned at)
{
    char name[48], lease[48];
    struct plain_args a = {.count = 0};
    snprintf(name, sizeof(name), "plain:data:fill:%06u", at);
    snprintf(lease, sizeof(lease), "plain:lease:fill:%06u", at);
    plain_word(&a, "EVALSHA");
    plain_word(&a, p->script);
    plain_word(&a, "2");
    plain_word(&a, name);
    plain_word(&a, lease);
    plain_add(&a, frame, LINK_VALUE_BYTES + 96);
    plain_word(&a, "60000");
    plain_send(p, thread, &a);
}

static void set_script(void *self, unsigned thread, uint64_t n)
{
    struct plain *p = self;
    for (unsigned i = 0; i < p->row->keys; i++)
        send_set(p, thread, link_at(thread, n, p->row->keys) + i);
    take_integers(p, thread, p->row->keys);
}

/* clang-format off */
const struct side side_del = {
    "DEL", "del", .open = plain_open, .call = del, .close = plain_close};
const struct side side_del_pipeline = {
    "DELs pipelined", "del", .open = plain_open, .call = del_pipeline, .close = plain_close,
    .keys = LINK_PIPELINE};
const struct side side_del_many = {
    "DEL of all", "del", .open = plain_open, .call = del_many, .close = plain_close};
const struct side side_multi = {
    "MULTI", "exec", .open = plain_open, .call = multi, .close = plain_close};
const struct side side_script = {
    "Lua", "evalsha", .open = open_script, .call = script, .close = plain_close};
const struct side side_set_script = {
    "Lua SET, DEL", "evalsha", .open = open_set_script, .call = set_script, .close = plain_close};
/* clang-format on */
