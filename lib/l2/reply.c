// SPDX-License-Identifier: MIT
// The parser: hiredis' redisReader with our own reply functions and limits.
//
// Why limits of our own: hiredis 0.14 believes the server. `*2147483647` makes it reserve 16 GiB
// and `$9223372036854775807` makes it buffer for ever. The first is refused in create_array(),
// which is asked before anything is reserved. For the second no function is asked until all bytes
// are here, so head_too_large() looks at the header that waits in the reader's buffer.
//
// Why counted nodes: eight bytes of wire (`*65536`) buy half a megabyte of pointers, and arrays
// nest, so a limit on bytes alone is none on memory.
//
// hiredis 0.14 and 1.x differ in the type of an array's count, in RESP3 and in nothing else that
// is used here. RESP3 is never asked for; its types are refused. A create function that returns
// NULL makes hiredis give up the reply, and it frees what was already attached to the root.

#include "l2/reply.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include <nigh/error.h>

#include "l2/script.h"

#define DEPTH_MAX 4                          /* ours: a script's array, a beat's entries */
#define NODES_MAX (2u * SCRIPT_LOG_MAX + 64) /* a beat with the whole log: id and frame each */
#define REPLY_SLACK_BYTES (4u << 20)         /* a beat's frames beside one largest string */
#define READER_KEEP_BYTES (256u << 10)       /* an emptied buffer larger than this is given back */
#define HEAD_DIGITS_MAX 20

#if HIREDIS_MAJOR >= 1
typedef size_t array_count;
#else
typedef int array_count;
#endif

#define ROOM_STEP ((size_t)16)
#define CHUNK_MAX ((size_t)16 << 10)

static struct reply *node_in_room(struct reader *r, size_t size)
{
    size_t rounded = (size + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    if (rounded > r->room_left)
        return NULL;
    struct reply *n = (void *)r->room;
    r->room += rounded;
    r->room_left -= rounded;
    return n;
}

/* Returns how much to allocate at once: an array's other elements are like this one, often. */
static size_t chunk_size(size_t size, uint64_t others)
{
    return size + (size_t)u64_min(others * size, size < CHUNK_MAX ? CHUNK_MAX - size : 0);
}

/* `others`: how many more nodes may follow in this reply. They lie behind it in its allocation, as
 * far as they fit; reply_free() comes to them first. */
static struct reply *node_new(struct reader *r, enum reply_type type, size_t tail_bytes,
                              uint64_t others)
{
    size_t size = (sizeof(struct reply) + tail_bytes + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    struct reply *n = node_in_room(r, size);
    struct mem *mem = n ? NULL : r->mem;
    size_t whole = n ? size : chunk_size(size, others);
    n = n ? n : mem_alloc(mem, NULL, whole);
    if (!n) {
        r->no_memory = true;
        return NULL;
    }
    if (whole > size) {
        reader_use_room(r, (char *)n + size, whole - size);
        r->room_is_replys = true;
    }
    *n = (struct reply){.type = type, .mem = mem, .size = whole};
    return n;
}

static uint64_t others_of(const redisReadTask *task)
{
    return task->parent ? (uint64_t)(task->parent->elements - task->idx - 1) : 0;
}

/* Hangs a node in its parent; the root is kept by hiredis. */
static void *attach(const redisReadTask *task, struct reply *n)
{
    if (n && task->parent) {
        struct reply *parent = task->parent->obj;
        parent->elements[task->idx] = n;
    }
    return n;
}

static int depth_of(const redisReadTask *task)
{
    int depth = 0;
    for (; task; task = task->parent)
        depth++;
    return depth;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    struct reader *r = task->privdata;
    enum reply_type type = task->type == REDIS_REPLY_STATUS  ? REPLY_STATUS
                           : task->type == REDIS_REPLY_ERROR ? REPLY_ERROR
                                                             : REPLY_STRING;
    if (len > r->bulk_max || (type == REPLY_STRING && task->type != REDIS_REPLY_STRING))
        return NULL;
    if (task->parent && r->kept + len > r->reply_max) {
        r->left += len;
        return attach(task, node_new(r, REPLY_LEFT, 0, 0));
    }
    struct reply *n = node_new(r, type, len, others_of(task));
    if (!n)
        return NULL;
    r->kept += len;
    if (len > 0)
        memcpy(n + 1, text, len);
    n->bytes = bytes_of(n + 1, len);
    return attach(task, n);
}

static void *create_array(const redisReadTask *task, array_count count)
{
    struct reader *r = task->privdata;
    if (task->type != REDIS_REPLY_ARRAY || (size_t)count > r->nodes_left ||
        depth_of(task) > DEPTH_MAX)
        return NULL;
    r->nodes_left -= (uint32_t)count;
    size_t tail = (size_t)count * sizeof(struct reply *);
    struct reply *n = node_new(r, REPLY_ARRAY, tail, 0);
    if (!n)
        return NULL;
    n->count = (uint32_t)count;
    n->elements = memset(n + 1, 0, tail);
    return attach(task, n);
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct reply *n = node_new(task->privdata, REPLY_INTEGER, 0, others_of(task));
    if (n)
        n->integer = value;
    return attach(task, n);
}

static void *create_nil(const redisReadTask *task)
{
    return attach(task, node_new(task->privdata, REPLY_NIL, 0, others_of(task)));
}

static void free_object(void *object)
{
    reply_free(object);
}

#if HIREDIS_MAJOR >= 1
/* Refuses types of RESP3. Without these functions hiredis would put an integer where a pointer of
 * ours belongs. */
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)task, (void)value, (void)text, (void)len;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return NULL;
}
#endif

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_object,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
};

void reply_free(struct reply *reply)
{
    if (!reply)
        return;
    for (uint32_t i = reply->count; i > 0; i--) /* the last first: it may lie behind another */
        reply_free(reply->elements[i - 1]);     /* no deeper than DEPTH_MAX */
    if (reply->mem)
        mem_free(reply->mem, NULL, reply, reply->size);
}

struct bytes reply_string_at(const struct reply *array, uint32_t i, size_t len)
{
    const struct reply *e = array && i < array->count ? array->elements[i] : NULL;
    if (!e || e->type != REPLY_STRING || (len != SIZE_MAX && e->bytes.len != len))
        return bytes_of(NULL, 0);
    return e->bytes;
}

int64_t reply_integer_at(const struct reply *array, uint32_t i, int64_t otherwise)
{
    const struct reply *e = array && i < array->count ? array->elements[i] : NULL;
    return e && e->type == REPLY_INTEGER ? e->integer : otherwise;
}

bool reply_is_error(const struct reply *reply, const char *code)
{
    size_t len = strlen(code);
    return reply->type == REPLY_ERROR && reply->bytes.len >= len &&
           memcmp(reply->bytes.data, code, len) == 0 &&
           (reply->bytes.len == len || ((const char *)reply->bytes.data)[len] == ' ');
}

/* hiredis allocates with malloc(), out of reach of the memory that tests make fail. */
static struct redisReader *hiredis_reader(struct reader *r)
{
    redisReader *h = fault_fires(FAULT_ALLOC) ? NULL : redisReaderCreateWithFunctions(&functions);
    if (h) {
        h->privdata = r;
        h->maxbuf = 0; /* 0.14 shrinks with an assert() on memory; renew() does it instead */
    }
    return h;
}

int reader_init(struct reader *r, struct mem *mem, size_t bulk_max)
{
    *r = (struct reader){
        .mem = mem,
        .bulk_max = bulk_max,
        .reply_max = bulk_max + REPLY_SLACK_BYTES,
        .nodes_left = NODES_MAX,
    };
    r->hiredis = hiredis_reader(r);
    return r->hiredis ? 0 : NIGH_ENOMEM;
}

void reader_fini(struct reader *r)
{
    if (r->hiredis)
        redisReaderFree(r->hiredis);
    r->hiredis = NULL;
}

void reader_use_room(struct reader *r, void *room, size_t size)
{
    r->room = room;
    r->room_left = size;
    r->room_is_replys = false;
}

/* Between replies, give a buffer that one large reply has grown back to the allocator. */
static void renew(struct reader *r)
{
    struct redisReader *fresh = hiredis_reader(r);
    if (!fresh)
        return; /* the large one still works */
    redisReaderFree(r->hiredis);
    r->hiredis = fresh;
    r->largest = 0;
}

int reader_feed(struct reader *r, const void *data, size_t len)
{
    if (r->pending == 0 && r->largest > READER_KEEP_BYTES)
        renew(r);
    if (fault_fires(FAULT_ALLOC) || redisReaderFeed(r->hiredis, data, len) != REDIS_OK)
        return NIGH_ENOMEM;
    r->pending += len;
    r->largest = r->pending > r->largest ? r->pending : r->largest;
    return 0;
}

/*
 * Whether the reader waits for a string that will be too long. Unread by hiredis is either a line
 * without its end, or a string's length (its type byte is gone) and the part of it that has come;
 * so a line that has its end is such a length.
 */
static bool head_too_large(const struct reader *r)
{
    const char *head = r->hiredis->buf + r->hiredis->pos;
    size_t len = r->hiredis->len - r->hiredis->pos;
    const char *end = memchr(head, '\r', len < HEAD_DIGITS_MAX ? len : HEAD_DIGITS_MAX);
    uint64_t value = 0;
    if (!end || end + 1 >= head + len || end[1] != '\n')
        return false; /* a line cut between its last two bytes may be of any type */
    for (; head < end; head++) {
        if (*head < '0' || *head > '9')
            return false;
        value = value * 10 + (uint64_t)(*head - '0');
        if (value > r->bulk_max)
            return true;
    }
    return false;
}

/* Whether more bytes have come than the strings so far, the next one and all heads account for. */
static bool is_too_large(const struct reader *r)
{
    return r->pending - r->kept - r->left > r->reply_max;
}

int reader_next(struct reader *r, struct reply **ret_reply)
{
    void *object = NULL;
    if (redisReaderGetReply(r->hiredis, &object) != REDIS_OK)
        return r->no_memory ? NIGH_ENOMEM : NIGH_EREDIS;
    if (!object)
        return is_too_large(r) || head_too_large(r) ? NIGH_EREDIS : 0;
    r->pending = r->hiredis->len - r->hiredis->pos;
    r->kept = r->left = 0;
    if (r->room_is_replys)
        reader_use_room(r, NULL, 0);
    r->nodes_left = NODES_MAX;
    *ret_reply = object;
    return 1;
}
