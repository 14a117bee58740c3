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
//
// What is usual, a string, nil, or an array of these, all in one piece of what was read, is taken
// as it lies there: hiredis would copy it into a buffer of its own first, and call three functions
// for each string. Whatever is not exactly that, and all that is cut, is left to hiredis, whose
// word holds. A test compares the two.

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

bool reply_has_code(const struct reply *reply, const char *code)
{
    size_t len = strlen(code);
    return reply->bytes.len >= len && memcmp(reply->bytes.data, code, len) == 0 &&
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

/* Notes with what a reply begins. Behind a type of RESP3 nothing is what it seems: a message that
 * the server pushes stands where an answer should. */
static void note_type(struct reader *r, char type)
{
    static const char resp3[] = {'_', '#', ',', '(', '!', '=', '%', '~', '>', '|'};
    r->is_resp3 = memchr(resp3, type, sizeof(resp3)) != NULL;
}

int reader_feed(struct reader *r, const void *data, size_t len)
{
    if (r->pending == 0 && len > 0)
        note_type(r, *(const char *)data);
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
    if (r->is_resp3)
        return NIGH_EREDIS;
    if (redisReaderGetReply(r->hiredis, &object) != REDIS_OK)
        return r->no_memory ? NIGH_ENOMEM : NIGH_EREDIS;
    if (!object)
        return is_too_large(r) || head_too_large(r) ? NIGH_EREDIS : 0;
    r->pending = r->hiredis->len - r->hiredis->pos;
    r->kept = r->left = 0;
    if (r->pending > 0)
        note_type(r, r->hiredis->buf[r->hiredis->pos]);
    if (r->room_is_replys)
        reader_use_room(r, NULL, 0);
    r->nodes_left = NODES_MAX;
    *ret_reply = object;
    return 1;
}

/* ---- without hiredis ---- */

#define USUAL_DIGITS_MAX 9 /* digits of a number that fits everywhere */

/* Reads a head: its type, decimals as Redis writes them, and CR LF. Returns its length; 0: it is no
 * such head, or not whole. */
static inline size_t read_head(const char *at, size_t len, char type, size_t *ret)
{
    size_t n = 1, value = 0, end = len < 1 + USUAL_DIGITS_MAX ? len : 1 + USUAL_DIGITS_MAX;
    if (len == 0 || at[0] != type)
        return 0;
    for (unsigned digit; n < end && (digit = (unsigned char)at[n] - (unsigned)'0') <= 9; n++)
        value = value * 10 + digit;
    bool padded = n > 2 && at[1] == '0';
    if (n == 1 || padded || len - n < 2 || at[n] != '\r' || at[n + 1] != '\n')
        return 0;
    *ret = value;
    return n + 2;
}

/* A string or nil, as it lies on the wire. */
struct usual {
    size_t wire_len; /* 0: it is neither, or not whole */
    struct bytes bytes; /* NULL data: nil */
};

static inline struct usual read_usual(const struct reader *r, const char *at, size_t len)
{
    static const char nil[] = {'$', '-', '1', '\r', '\n'};
    size_t size = 0, head = read_head(at, len, '$', &size);
    if (head && size <= r->bulk_max && len - head >= size + 2 && at[head + size] == '\r' &&
        at[head + size + 1] == '\n')
        return (struct usual){head + size + 2, bytes_of(at + head, size)};
    bool is_nil = !head && len >= sizeof(nil) && memcmp(at, nil, sizeof(nil)) == 0;
    return (struct usual){is_nil ? sizeof(nil) : 0, bytes_of(NULL, 0)};
}

static struct reply *make_usual(struct reader *r, struct usual u, uint64_t others)
{
    bool is_nil = !u.bytes.data;
    struct reply *n = node_new(r, is_nil ? REPLY_NIL : REPLY_STRING, u.bytes.len, others);
    if (!n || is_nil)
        return n;
    put_bytes(n + 1, u.bytes);
    n->bytes = bytes_of(n + 1, u.bytes.len);
    return n;
}

/* Fills an array. Returns its length on the wire; 0: it is not whole, or is another, or too large;
 * NIGH_ENOMEM. */
static long fill_array(struct reader *r, struct reply *array, const char *at, size_t len)
{
    size_t used = 0, sum = 0;
    for (uint32_t i = 0; i < array->count; i++) {
        struct usual u = read_usual(r, at + used, len - used);
        used += u.wire_len;
        sum += u.bytes.len;
        if (u.wire_len == 0 || sum > r->reply_max)
            return 0;
        array->elements[i] = make_usual(r, u, array->count - i - 1);
        if (!array->elements[i])
            return NIGH_ENOMEM;
    }
    return (long)used;
}

static long take_array(struct reader *r, const char *at, size_t len, struct reply **ret_reply)
{
    char *room = r->room;
    size_t count, room_left = r->room_left, head = read_head(at, len, '*', &count);
    bool room_is_replys = r->room_is_replys;
    if (!head || count > r->nodes_left)
        return 0;
    struct reply *n = node_new(r, REPLY_ARRAY, count * sizeof(struct reply *), 0);
    if (!n)
        return NIGH_ENOMEM;
    n->count = (uint32_t)count;
    n->elements = memset(n + 1, 0, count * sizeof(struct reply *));
    long got = fill_array(r, n, at + head, len - head);
    if (got > 0 || (got == 0 && count == 0)) {
        *ret_reply = n;
        return (long)head + got;
    }
    reply_free(n);
    reader_use_room(r, room, room_left);
    r->room_is_replys = room_is_replys;
    return got;
}

static long take_string(struct reader *r, const char *at, size_t len, struct reply **ret_reply)
{
    struct usual u = read_usual(r, at, len);
    *ret_reply = u.wire_len ? make_usual(r, u, 0) : NULL;
    return *ret_reply || !u.wire_len ? (long)u.wire_len : NIGH_ENOMEM;
}

long reader_take(struct reader *r, const char *data, size_t len, struct reply **ret_reply)
{
    if (r->pending > 0 || len == 0)
        return 0;
    long taken = data[0] == '*' ? take_array(r, data, len, ret_reply)
                                : take_string(r, data, len, ret_reply);
    if (taken > 0 && r->room_is_replys)
        reader_use_room(r, NULL, 0);
    return taken;
}
