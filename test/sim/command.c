// SPDX-License-Identifier: MIT
// Commands over the store, each as Redis 7 answers it. Whatever is not here fails the schedule: a
// script that uses a command which the simulation lacks would test nothing.

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

#include "sim/judge.h"
#include "sim/server.h"

struct call {
    struct session *session;
    const struct bytes *argv;
    uint32_t argc;
    struct buffer *out;
    struct store *store;
    unsigned db;
    uint64_t now_ms;
};

static const char WRONGTYPE[] =
    "-WRONGTYPE Operation against a key holding the wrong kind of value";

bool command_is(struct bytes word, const char *name)
{
    return word.len == strlen(name) && strncasecmp(word.data, name, word.len) == 0;
}

static void fail(struct call *c, const char *error)
{
    resp_line(c->out, error);
}

static bool number_of(struct bytes b, long long *ret)
{
    char text[32] = {0};
    char *end;
    if (b.len == 0 || b.len >= sizeof(text))
        return false;
    memcpy(text, b.data, b.len);
    *ret = strtoll(text, &end, 10);
    return *end == 0;
}

/* A number, or 0 with the error sent and *ret_ok false. */
static long long number_at(struct call *c, uint32_t i, bool *ret_ok)
{
    long long n = 0;
    if (*ret_ok && (i >= c->argc || !number_of(c->argv[i], &n))) {
        fail(c, "-ERR value is not an integer or out of range");
        *ret_ok = false;
    }
    return n;
}

static struct value *find(struct call *c, uint32_t i)
{
    return store_find(c->store, c->db, c->argv[i], c->now_ms);
}

/* The value of that type; NULL: none. *ret_ok false: of another, and the error is sent. */
static struct value *find_type(struct call *c, uint32_t i, enum value_type type, bool *ret_ok)
{
    struct value *v = find(c, i);
    *ret_ok = !v || v->type == type;
    if (!*ret_ok)
        fail(c, WRONGTYPE);
    return *ret_ok ? v : NULL;
}

static void wrote(struct call *c)
{
    c->session->wrote = true;
}

/* ---- strings ---- */

static void run_get(struct call *c)
{
    bool ok;
    struct value *v = find_type(c, 1, TYPE_STRING, &ok);
    if (!ok)
        return;
    if (v)
        resp_bulk(c->out, v->string.data, v->string.len);
    else
        resp_nil(c->out);
}

static void run_mget(struct call *c)
{
    resp_array(c->out, c->argc - 1);
    for (uint32_t i = 1; i < c->argc; i++) {
        struct value *v = find(c, i);
        if (v && v->type == TYPE_STRING)
            resp_bulk(c->out, v->string.data, v->string.len);
        else
            resp_nil(c->out);
    }
}

struct set_options {
    bool nx, xx, keep, get;
    long long ms;
};

static bool set_options_read(struct call *c, struct set_options *ret)
{
    bool ok = true;
    for (uint32_t i = 3; i < c->argc && ok; i++) {
        if (command_is(c->argv[i], "NX"))
            ret->nx = true;
        else if (command_is(c->argv[i], "XX"))
            ret->xx = true;
        else if (command_is(c->argv[i], "KEEPTTL"))
            ret->keep = true;
        else if (command_is(c->argv[i], "GET"))
            ret->get = true;
        else if (command_is(c->argv[i], "PX"))
            ret->ms = number_at(c, ++i, &ok);
        else if (command_is(c->argv[i], "EX"))
            ret->ms = 1000 * number_at(c, ++i, &ok);
        else
            fail(c, "-ERR syntax error"), ok = false;
        if (ok && ret->ms < 0)
            fail(c, "-ERR invalid expire time in 'set' command"), ok = false;
    }
    return ok;
}

static void run_set(struct call *c)
{
    struct set_options o = {.ms = 0};
    if (!set_options_read(c, &o))
        return;
    struct value *v = find(c, 1);
    uint64_t dies_ms = v && o.keep ? v->dies_ms : 0;
    struct buffer old = {0};
    if (o.get) {
        if (v && v->type == TYPE_STRING)
            resp_bulk(&old, v->string.data, v->string.len);
        else
            resp_nil(&old);
    }
    bool may = !(o.nx && v) && !(o.xx && !v);
    if (may) {
        v = store_make(c->store, c->db, c->argv[1], TYPE_STRING);
        buffer_add(&v->string, c->argv[2].data, c->argv[2].len);
        v->dies_ms = o.ms ? c->now_ms + (uint64_t)o.ms : dies_ms;
        wrote(c);
        if (c->session->in_script)
            judge_stored(c->session, c->argv[1], c->argv[2]);
    }
    if (o.get)
        buffer_add(c->out, old.data, old.len);
    else if (may)
        resp_line(c->out, "+OK");
    else
        resp_nil(c->out);
    buffer_free(&old);
}

static void run_del(struct call *c)
{
    long long gone = 0;
    for (uint32_t i = 1; i < c->argc; i++)
        gone += store_remove(c->store, c->db, c->argv[i], c->now_ms);
    wrote(c);
    resp_number(c->out, gone);
}

static void run_exists(struct call *c)
{
    long long there = 0;
    for (uint32_t i = 1; i < c->argc; i++)
        there += find(c, i) != NULL;
    resp_number(c->out, there);
}

static void run_strlen(struct call *c)
{
    bool ok;
    struct value *v = find_type(c, 1, TYPE_STRING, &ok);
    if (ok)
        resp_number(c->out, v ? (long long)v->string.len : 0);
}

static void run_getrange(struct call *c)
{
    bool ok = true;
    long long from = number_at(c, 2, &ok), to = number_at(c, 3, &ok);
    if (!ok)
        return;
    struct value *v = find_type(c, 1, TYPE_STRING, &ok);
    if (!ok)
        return;
    long long len = v ? (long long)v->string.len : 0;
    from = from < 0 ? len + from : from;
    to = to < 0 ? len + to : to;
    from = from < 0 ? 0 : from;
    to = to >= len ? len - 1 : to;
    if (from > to || len == 0)
        resp_bulk(c->out, "", 0);
    else
        resp_bulk(c->out, v->string.data + from, (size_t)(to - from + 1));
}

/* The string to be changed in place, made if there is none; NULL: the error is sent. */
static struct value *string_for_change(struct call *c)
{
    bool ok;
    struct value *v = find_type(c, 1, TYPE_STRING, &ok);
    if (!ok)
        return NULL;
    wrote(c);
    return v ? v : store_make(c->store, c->db, c->argv[1], TYPE_STRING);
}

static void run_setrange(struct call *c)
{
    bool ok = true;
    size_t at = (size_t)number_at(c, 2, &ok), len = c->argv[3].len;
    struct value *v = ok ? string_for_change(c) : NULL;
    if (!v)
        return;
    struct buffer *b = &v->string;
    if (b->len < at + len) {
        buffer_reserve(b, at + len - b->len);
        memset(b->data + b->len, 0, at + len - b->len);
        b->len = at + len;
    }
    if (len)
        memcpy(b->data + at, c->argv[3].data, len);
    resp_number(c->out, (long long)b->len);
}

static void run_append(struct call *c)
{
    struct value *v = string_for_change(c);
    if (!v)
        return;
    buffer_add(&v->string, c->argv[2].data, c->argv[2].len);
    resp_number(c->out, (long long)v->string.len);
}

static void run_incr(struct call *c)
{
    struct value *v = string_for_change(c);
    long long n = 0;
    if (!v)
        return;
    if (v->string.len && !number_of(buffer_bytes(&v->string), &n)) {
        fail(c, "-ERR value is not an integer or out of range");
        return;
    }
    char text[32];
    int len = snprintf(text, sizeof(text), "%lld", n + 1);
    v->string.len = 0;
    buffer_add(&v->string, text, (size_t)len);
    resp_number(c->out, n + 1);
}

/* ---- lifetimes ---- */

static void run_pttl(struct call *c)
{
    struct value *v = find(c, 1);
    long long left = !v ? -2 : v->dies_ms == 0 ? -1 : (long long)(v->dies_ms - c->now_ms);
    bool seconds = command_is(c->argv[0], "TTL");
    resp_number(c->out, seconds && left > 0 ? (left + 500) / 1000 : left);
}

static bool may_expire(const struct call *c, const struct value *v, uint64_t dies_ms)
{
    if (c->argc < 4)
        return true;
    if (command_is(c->argv[3], "NX"))
        return v->dies_ms == 0;
    if (command_is(c->argv[3], "XX"))
        return v->dies_ms != 0;
    if (command_is(c->argv[3], "GT"))
        return v->dies_ms != 0 && dies_ms > v->dies_ms;
    return v->dies_ms == 0 || dies_ms < v->dies_ms; /* LT */
}

static void run_pexpire(struct call *c)
{
    bool ok = true;
    long long ms = number_at(c, 2, &ok);
    if (!ok)
        return;
    if (command_is(c->argv[0], "EXPIRE"))
        ms *= 1000;
    uint64_t dies_ms = command_is(c->argv[0], "PEXPIREAT") ? (uint64_t)ms
                                                           : c->now_ms + (uint64_t)ms;
    struct value *v = find(c, 1);
    bool may = v && may_expire(c, v, dies_ms);
    if (may) {
        v->dies_ms = dies_ms ? dies_ms : 1;
        wrote(c);
    }
    resp_number(c->out, may);
}

static void run_persist(struct call *c)
{
    struct value *v = find(c, 1);
    resp_number(c->out, v && v->dies_ms);
    if (v)
        v->dies_ms = 0;
    wrote(c);
}

/* ---- streams ---- */

/* "ms-seq", "ms" (seq is `seq_if_none` then), "-", "+"; "(" before it: not this one itself. */
static bool id_of(struct bytes b, uint64_t seq_if_none, uint64_t *ret_ms, uint64_t *ret_seq)
{
    char text[64] = {0};
    char *end;
    bool open = b.len && ((const char *)b.data)[0] == '(';
    if (b.len >= sizeof(text) || b.len == 0)
        return false;
    memcpy(text, (const char *)b.data + open, b.len - open);
    if (strcmp(text, "-") == 0) {
        *ret_ms = *ret_seq = 0;
        return true;
    }
    if (strcmp(text, "+") == 0) {
        *ret_ms = *ret_seq = UINT64_MAX;
        return true;
    }
    *ret_ms = strtoull(text, &end, 10);
    *ret_seq = *end == '-' ? strtoull(end + 1, &end, 10) : seq_if_none;
    if (open && seq_if_none == 0 && ++*ret_seq == 0)
        ++*ret_ms;
    else if (open && seq_if_none != 0 && (*ret_seq)-- == 0)
        --*ret_ms;
    return *end == 0 && isdigit((unsigned char)text[0]);
}

static bool id_below(uint64_t a_ms, uint64_t a_seq, uint64_t b_ms, uint64_t b_seq)
{
    return a_ms < b_ms || (a_ms == b_ms && a_seq < b_seq);
}

/* MAXLEN or MINID, at *i. Redis trims whole nodes where it need not be exact: so do we. */
static long long trim(struct call *c, struct value *v, uint32_t *i)
{
    bool by_id = command_is(c->argv[*i], "MINID"), about = command_is(c->argv[*i + 1], "~");
    *i += 1 + (about || command_is(c->argv[*i + 1], "="));
    size_t keep = v->entry_count;
    uint64_t ms, seq;
    long long n;
    if (by_id && id_of(c->argv[*i], 0, &ms, &seq)) {
        while (keep > 0 && id_below(v->entries[v->entry_count - keep].ms,
                                    v->entries[v->entry_count - keep].seq, ms, seq))
            keep--;
    } else if (!by_id && number_of(c->argv[*i], &n)) {
        keep = u64_min(keep, (uint64_t)n);
    }
    ++*i;
    if (about && v->entry_count - keep < 100)
        return 0;
    return (long long)stream_trim(v, keep);
}

static bool is_trim(struct bytes word)
{
    return command_is(word, "MAXLEN") || command_is(word, "MINID");
}

static void run_xadd(struct call *c)
{
    bool ok;
    uint32_t i = 2, trim_at = 0;
    uint64_t ms, seq;
    struct value *v = find_type(c, 1, TYPE_STREAM, &ok);
    if (!ok)
        return;
    if (is_trim(c->argv[i])) {
        trim_at = i;
        i += command_is(c->argv[i + 1], "~") || command_is(c->argv[i + 1], "=") ? 3 : 2;
    }
    if (!id_of(c->argv[i], 0, &ms, &seq)) {
        fail(c, "-ERR Invalid stream ID specified as stream command argument");
        return;
    }
    if (v && !id_below(v->last_ms, v->last_seq, ms, seq)) {
        fail(c, "-ERR The ID specified in XADD is equal or smaller than the target stream's");
        return;
    }
    if (!v)
        v = store_make(c->store, c->db, c->argv[1], TYPE_STREAM);
    struct buffer fields = {0};
    resp_array(&fields, c->argc - i - 1);
    for (uint32_t f = i + 1; f < c->argc; f++)
        resp_bulk(&fields, c->argv[f].data, c->argv[f].len);
    stream_add(v, ms, seq, buffer_bytes(&fields));
    buffer_free(&fields);
    if (trim_at)
        trim(c, v, &trim_at);
    wrote(c);
    resp_bulk(c->out, c->argv[i].data, c->argv[i].len);
}

static void add_entry(struct call *c, const struct stream_entry *e)
{
    char id[48];
    int len = snprintf(id, sizeof(id), "%" PRIu64 "-%" PRIu64, e->ms, e->seq);
    resp_array(c->out, 2);
    resp_bulk(c->out, id, (size_t)len);
    buffer_add(c->out, e->fields.data, e->fields.len);
}

static void run_xrange(struct call *c)
{
    bool ok, back = command_is(c->argv[0], "XREVRANGE");
    long long limit = -1;
    uint64_t from[2], to[2];
    struct value *v = find_type(c, 1, TYPE_STREAM, &ok);
    if (!ok)
        return;
    if (!id_of(c->argv[back ? 3 : 2], 0, &from[0], &from[1]) ||
        !id_of(c->argv[back ? 2 : 3], UINT64_MAX, &to[0], &to[1])) {
        fail(c, "-ERR Invalid stream ID specified as stream command argument");
        return;
    }
    if (c->argc > 5)
        limit = number_at(c, 5, &ok);
    if (!ok)
        return;
    struct buffer *out = c->out, found = {0};
    long long count = 0;
    size_t n = v ? v->entry_count : 0;
    c->out = &found;
    for (size_t k = 0; k < n && (limit < 0 || count < limit); k++) {
        const struct stream_entry *e = &v->entries[back ? n - 1 - k : k];
        if (id_below(e->ms, e->seq, from[0], from[1]) || id_below(to[0], to[1], e->ms, e->seq))
            continue;
        add_entry(c, e);
        count++;
    }
    c->out = out;
    resp_array(out, count);
    buffer_add(out, found.data, found.len);
    buffer_free(&found);
}

static void run_xlen(struct call *c)
{
    bool ok;
    struct value *v = find_type(c, 1, TYPE_STREAM, &ok);
    if (ok)
        resp_number(c->out, v ? (long long)v->entry_count : 0);
}

static void run_xtrim(struct call *c)
{
    bool ok;
    uint32_t i = 2;
    struct value *v = find_type(c, 1, TYPE_STREAM, &ok);
    if (ok)
        resp_number(c->out, v ? trim(c, v, &i) : 0);
    wrote(c);
}

/* ---- lists and hashes: as far as foreign keys need them ---- */

static void run_push(struct call *c)
{
    bool ok, hash = command_is(c->argv[0], "HSET");
    struct value *v = find_type(c, 1, hash ? TYPE_HASH : TYPE_LIST, &ok);
    if (!ok)
        return;
    if (!v)
        v = store_make(c->store, c->db, c->argv[1], hash ? TYPE_HASH : TYPE_LIST);
    v->items = realloc(v->items, (v->item_count + c->argc) * sizeof(*v->items));
    for (uint32_t i = 2; i < c->argc; i++) {
        v->items[v->item_count] = (struct buffer){0};
        buffer_add(&v->items[v->item_count++], c->argv[i].data, c->argv[i].len);
    }
    wrote(c);
    resp_number(c->out, (long long)v->item_count / (hash ? 2 : 1));
}

static void run_hget(struct call *c)
{
    bool ok, all = command_is(c->argv[0], "HGETALL");
    struct value *v = find_type(c, 1, TYPE_HASH, &ok);
    if (!ok)
        return;
    if (all)
        resp_array(c->out, v ? (long long)v->item_count : 0);
    const struct buffer *found = NULL;
    for (size_t i = 0; v && i < v->item_count; i++) {
        if (all)
            resp_bulk(c->out, v->items[i].data, v->items[i].len);
        else if (i % 2 == 0 && bytes_equal(buffer_bytes(&v->items[i]), c->argv[2]))
            found = &v->items[i + 1];
    }
    if (!all && found)
        resp_bulk(c->out, found->data, found->len);
    else if (!all)
        resp_nil(c->out);
}

/* ---- the server ---- */

static void run_info(struct call *c)
{
    char text[256];
    snprintf(text, sizeof(text),
             "# Replication\r\nrole:master\r\nconnected_slaves:1\r\nmaster_replid:%s\r\n"
             "maxmemory_policy:volatile-lru\r\n",
             c->session->server->replid);
    resp_text(c->out, text);
}

static void run_time(struct call *c)
{
    char text[32];
    resp_array(c->out, 2);
    snprintf(text, sizeof(text), "%" PRIu64, c->now_ms / 1000);
    resp_text(c->out, text);
    snprintf(text, sizeof(text), "%" PRIu64, c->now_ms % 1000 * 1000);
    resp_text(c->out, text);
}

static void run_publish(struct call *c)
{
    resp_number(c->out, net_publish(c->session->server, c->argv[1], c->argv[2]));
}

static void run_select(struct call *c)
{
    bool ok = true;
    long long db = number_at(c, 1, &ok);
    if (!ok)
        return;
    if (db < 0 || db >= STORE_DBS) {
        fail(c, "-ERR DB index is out of range");
        return;
    }
    c->session->db = (unsigned)db;
    resp_line(c->out, "+OK");
}

static void run_ok(struct call *c)
{
    resp_line(c->out, "+OK");
}

static void run_ping(struct call *c)
{
    resp_line(c->out, "+PONG");
}

static void run_type(struct call *c)
{
    static const char *const names[] = {"+string", "+stream", "+list", "+hash"};
    struct value *v = find(c, 1);
    resp_line(c->out, v ? names[v->type] : "+none");
}

static const struct {
    const char *name;
    uint32_t args_min; /* with the name */
    void (*run)(struct call *c);
} commands[] = {
    {"GET", 2, run_get},         {"SET", 3, run_set},           {"DEL", 2, run_del},
    {"UNLINK", 2, run_del},      {"EXISTS", 2, run_exists},     {"GETRANGE", 4, run_getrange},
    {"SETRANGE", 4, run_setrange}, {"STRLEN", 2, run_strlen},   {"APPEND", 3, run_append},
    {"MGET", 2, run_mget},       {"INCR", 2, run_incr},         {"PTTL", 2, run_pttl},
    {"TTL", 2, run_pttl},        {"PEXPIRE", 3, run_pexpire},   {"EXPIRE", 3, run_pexpire},
    {"PEXPIREAT", 3, run_pexpire}, {"PERSIST", 2, run_persist}, {"XADD", 5, run_xadd},
    {"XRANGE", 4, run_xrange},   {"XREVRANGE", 4, run_xrange},  {"XLEN", 2, run_xlen},
    {"XTRIM", 4, run_xtrim},     {"RPUSH", 3, run_push},        {"LPUSH", 3, run_push},
    {"HSET", 4, run_push},       {"HGET", 3, run_hget},         {"HGETALL", 2, run_hget},
    {"INFO", 1, run_info},       {"TIME", 1, run_time},         {"PUBLISH", 3, run_publish},
    {"SELECT", 2, run_select},   {"PING", 1, run_ping},         {"AUTH", 2, run_ok},
    {"CLIENT", 2, run_ok},       {"TYPE", 2, run_type},
};

void command_run(struct session *session, const struct bytes *argv, uint32_t argc,
                 struct buffer *out)
{
    struct server *s = session->server;
    struct call c = {session, argv, argc, out, &s->store, session->db, server_wall_ms(s)};
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (!command_is(argv[0], commands[i].name))
            continue;
        if (argc < commands[i].args_min)
            fail(&c, "-ERR wrong number of arguments");
        else
            commands[i].run(&c);
        return;
    }
    if (!session->in_script && (command_is(argv[0], "EVAL") || command_is(argv[0], "EVALSHA"))) {
        script_run(session, argv, argc, out);
        return;
    }
    world_fail("simulation", "no such command: %.*s", (int)argv[0].len, (const char *)argv[0].data);
    fail(&c, "-ERR unknown command");
}
