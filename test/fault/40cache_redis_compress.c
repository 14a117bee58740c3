// SPDX-License-Identifier: MIT
// Values that are compressed for Redis (space.compress): by each way in, read by each way out, on
// another thread than those that serve Redis; and what is left of one that is broken, lies about
// its length, or wants a library that is not there.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis.h>

#include "cache/cache.h"
#include "base/codec.h"
#include "support/async.h"

enum { LARGE = 20000, READER_MAX = 2 * LARGE, WRITER_MAX = 3 * LARGE, MANY = 40 };

static struct redis server;
static struct world writer, reader;
static struct nigh_queue *queue; /* the reader's */
static char text[WRITER_MAX + 1];

/* ---- on which threads: the linker puts these around the codecs ---- */

size_t __real_codec_pack(unsigned codec, struct mem *mem, struct bytes plain, void *to,
                         size_t room);
size_t __wrap_codec_pack(unsigned codec, struct mem *mem, struct bytes plain, void *to,
                         size_t room);
bool __real_codec_unpack(unsigned codec, struct bytes packed, void *to, size_t len);
bool __wrap_codec_unpack(unsigned codec, struct bytes packed, void *to, size_t len);

static _Atomic unsigned served; /* on a thread that has to serve Redis */

static void note_thread(void)
{
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof(name));
    if (strcmp(name, "nigh-io") == 0 || strcmp(name, "nigh-listen") == 0)
        atomic_fetch_add(&served, 1);
}

size_t __wrap_codec_pack(unsigned codec, struct mem *mem, struct bytes plain, void *to, size_t room)
{
    note_thread();
    return __real_codec_pack(codec, mem, plain, to, room);
}

bool __wrap_codec_unpack(unsigned codec, struct bytes packed, void *to, size_t len)
{
    note_thread();
    return __real_codec_unpack(codec, packed, to, len);
}

/* ---- the two nodes ---- */

static int answer_text(struct origin *o, struct nigh_fill *fill)
{
    size_t len = (size_t)o->arg;
    return nigh_fill_value(fill, text, len);
}

static struct nigh_space_options compressed(enum nigh_compress how, uint32_t value_max)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.compress = how;
    so.value_max = value_max;
    so.load_deadline_ms = 2 * WORLD_PATIENCE_MS;
    return so;
}

static _Atomic unsigned said[3]; /* by the reader's log */

static const char *const reasons[] = {
    "no use here: it does not decompress to what it says",
    "no use here: it would be above space.value_max",
    "no use here: this build cannot decompress it",
};

static void hear_log(void *arg, enum nigh_log_level level, const char *message)
{
    (void)arg, (void)level;
    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++)
        said[i] += strstr(message, reasons[i]) != NULL;
}

static void open_reader(void)
{
    struct nigh_space_options so = compressed(NIGH_COMPRESS_NONE, READER_MAX);
    struct nigh_options o = patient_options(&server);
    o.log = hear_log;
    origin_init(&reader.origin);
    world_open_with(&reader, &o, &so, &reader.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(reader.cache) == NIGH_FRESH);
    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++)
        said[i] = 0;
}

static void open_nodes(enum nigh_compress how)
{
    struct nigh_space_options so = compressed(how, WRITER_MAX);
    redis_start(&server, NULL);
    patient_open(&writer, &server, NULL, &so);
    open_reader();
    writer.origin.script = answer_text;
    writer.origin.arg = (void *)(size_t)LARGE;
    REQUIRE_EQ(nigh_queue_open(reader.cache, &queue), 0);
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = (char)("<li>package is for "[i % 19] + (i % 1000 == 0));
    atomic_store(&served, 0);
}

static void close_nodes(void)
{
    CHECK_EQ(atomic_load(&served), 0);
    nigh_queue_close(queue);
    world_close(&reader);
    world_close(&writer);
    redis_stop(&server);
}

/* ---- what lies in Redis ---- */

static redisReply *raw_of(const char *key)
{
    redisContext *c = redisConnectUnix(server.socket);
    REQUIRE(c && !c->err);
    redisReply *r = redisCommand(c, "GET nigh:!2:s:1:%s", key);
    redisFree(c);
    REQUIRE(r);
    return r;
}

static void set_raw(const char *key, const struct l2_envelope *e)
{
    size_t size = l2_envelope_size(e);
    void *bytes = malloc(size);
    redisContext *c = redisConnectUnix(server.socket);
    REQUIRE(bytes && c && !c->err);
    l2_envelope_encode(e, bytes);
    freeReplyObject(redisCommand(c, "SET nigh:!2:s:1:%s %b PX 600000", key, bytes, size));
    redisFree(c);
    free(bytes);
}

static bool decode(const redisReply *r, const char *key, struct l2_envelope *ret)
{
    const struct l2_key k = {bytes_of("s", 1), bytes_of("1", 1), bytes_of_string(key)};
    return r->type == REDIS_REPLY_STRING &&
           l2_envelope_decode(bytes_of(r->str, r->len), l2_name_hash(&k), ret);
}

/* Whether Redis has a value of `key`, and that compressed or not. */
static bool lies(const char *key, bool packed)
{
    struct l2_envelope e;
    redisReply *r = raw_of(key);
    bool is = decode(r, key, &e) && packed == (e.plain_len != 0) &&
              packed == ((e.flags & L2_ENVELOPE_COMPRESSED) != 0);
    freeReplyObject(r);
    return is;
}

/* ---- ways out ---- */

static bool is_text(const struct nigh_value *v, size_t len)
{
    return v->len == len && memcmp(v->data, text, len) == 0;
}

static bool gets(const char *key, size_t len)
{
    struct nigh_value v = NIGH_VALUE_INIT;
    int rc = nigh_get(reader.space, key, strlen(key), NULL, &v);
    bool is = rc == NIGH_FRESH && is_text(&v, len);
    nigh_release(&v);
    return is;
}

/* Whether the reader's L1 has it, plain. */
static bool has_in_l1(const char *key, size_t len)
{
    struct nigh_call call = call_flagged(NIGH_L1_ONLY);
    struct nigh_value v = NIGH_VALUE_INIT;
    int rc = nigh_get(reader.space, key, strlen(key), &call, &v);
    bool is = rc == NIGH_FRESH && is_text(&v, len);
    nigh_release(&v);
    return is;
}

/* Waits until the reader has heard of what the writer has changed: what it reads then, it keeps. */
static void hear(void)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 world_count(&reader, "sequence") == world_count(&writer, "sequence"));
}

static void put(const char *key, const void *value, size_t len, const struct nigh_call *call)
{
    CHECK_EQ(nigh_put(writer.space, key, strlen(key), value, len, call), 0);
    hear();
}

static void check_read(const char *key, size_t len)
{
    CHECK(lies(key, true));
    CHECK(gets(key, len));
    CHECK(has_in_l1(key, len));
}

/* ---- the tests ---- */

static void every_way_in(void)
{
    struct nigh_call background = call_flagged(NIGH_BACKGROUND), versioned = NIGH_CALL_INIT;
    versioned.version = 7;
    CHECK_EQ(ask_fetch(writer.space, "loaded", NULL).outcome, NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, lies("loaded", true));
    put("put", text, LARGE, NULL);
    put("new", text, LARGE, &versioned);
    CHECK_EQ(nigh_put(writer.space, "later", 5, text, LARGE, &background), NIGH_QUEUED);
    CHECK_EQ(nigh_drain(writer.cache, WORLD_PATIENCE_MS), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, lies("later", true));
    CHECK_EQ(nigh_write(writer.space, "written", 7, text, LARGE, &versioned), 0);
    hear();
    const char *const keys[] = {"loaded", "put", "new", "later", "written"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        check_read(keys[i], LARGE);
    CHECK_EQ(world_count(&reader, "l2_unpacked"), ARRAY_COUNT(keys));
    CHECK_EQ(world_count(&writer, "l2_packed"), ARRAY_COUNT(keys));
    CHECK_GT(world_count(&writer, "l2_packed_saved"), 5 * LARGE / 2);
    CHECK_EQ(world_count(&reader, "envelope_bad"), 0);
}

/* Many at once, in one call of the loader, one script of fills, one request of the reader. */
static void many_at_once(void)
{
    char names[MANY][8];
    struct nigh_key keys[MANY];
    struct nigh_value values[MANY];
    int outcomes[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        keys[i] = (struct nigh_key){names[i], (uint32_t)snprintf(names[i], 8, "m%u", i)};
        values[i] = (struct nigh_value)NIGH_VALUE_INIT;
    }
    CHECK_EQ(nigh_fetch_many(writer.space, keys, MANY, NULL, values, outcomes), 0);
    for (unsigned i = 0; i < MANY; i++)
        nigh_release(&values[i]);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, lies(names[i], true));
    CHECK_EQ(nigh_get_many(reader.space, keys, MANY, NULL, values, outcomes), 0);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_EQ(outcomes[i], NIGH_FRESH);
        CHECK(is_text(&values[i], LARGE));
        nigh_release(&values[i]);
    }
}

/* Nobody waits who could decompress it: workers do, not the thread that brought it. */
static void without_waiting(void)
{
    struct nigh_value v = NIGH_VALUE_INIT;
    uint64_t id;
    put("async", text, LARGE, NULL);
    CHECK_EQ(nigh_get_async(queue, reader.space, "async", 5, NULL, NULL, &v, &id), NIGH_PENDING);
    struct ended e = poll_one(queue, WORLD_PATIENCE_MS);
    CHECK_EQ(e.answer.outcome, NIGH_FRESH);
    CHECK(has_in_l1("async", LARGE));
    put("flown", text, LARGE, NULL);
    CHECK_EQ(nigh_fetch_async(queue, reader.space, "flown", 5, NULL, NULL, &v, &id), NIGH_PENDING);
    e = poll_one(queue, WORLD_PATIENCE_MS);
    CHECK_EQ(e.answer.outcome, NIGH_FRESH);
    CHECK(has_in_l1("flown", LARGE));
}

/* Values that others hold in memory of their own are whole, too. */
static void not_stored(void)
{
    struct nigh_call call = call_flagged(NIGH_NO_STORE);
    struct nigh_key keys[2] = {{"x", 1}, {"y", 1}};
    struct nigh_value values[2] = {NIGH_VALUE_INIT, NIGH_VALUE_INIT};
    int outcomes[2];
    put("x", text, LARGE, NULL);
    put("y", text, LARGE, NULL);
    CHECK_EQ(nigh_get_many(reader.space, keys, 2, &call, values, outcomes), 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(outcomes[i] == NIGH_FRESH && is_text(&values[i], LARGE));
        nigh_release(&values[i]);
    }
    CHECK(!has_in_l1("x", LARGE));
}

static void small_and_random_stay_plain(void)
{
    uint8_t noise[4096];
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)(hash_bytes(bytes_of(&i, sizeof(i))) >> 7);
    put("small", text, 1023, NULL);
    put("least", text, 1024, NULL);
    put("noise", noise, sizeof(noise), NULL);
    CHECK(lies("small", false));
    CHECK(lies("least", true));
    CHECK(lies("noise", false));
    CHECK_EQ(world_count(&writer, "l2_unpackable"), 1);
    CHECK(gets("small", 1023));
    CHECK_EQ(ask_get(reader.space, "noise", NULL).len, sizeof(noise));
}

/* What is only explained counts as no read. */
static void explained(void)
{
    char words[8192];
    int64_t unpacked = world_count(&reader, "l2_unpacked");
    put("told", text, LARGE, NULL);
    REQUIRE(nigh_explain(reader.space, "told", 4, NIGH_STATS_TEXT, words, sizeof(words)) > 0);
    const char *line = strstr(words, "20000 B (");
    CHECK(line && strstr(line, " B there)"));
    REQUIRE(nigh_explain(reader.space, "told", 4, NIGH_STATS_JSON, words, sizeof(words)) > 0);
    CHECK(strstr(words, "\"bytes\": 20000, \"codec\": \""));
    CHECK_EQ(world_count(&reader, "l2_unpacked"), unpacked);
}

static void with(enum nigh_compress how)
{
    open_nodes(how);
    every_way_in();
    many_at_once();
    without_waiting();
    not_stored();
    small_and_random_stay_plain();
    explained();
    close_nodes();
}

/* A build without a library refuses its word, and says which is missing. */
static void refused(enum nigh_compress how, const char *name)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    o.space.compress = how;
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EOPTION);
    CHECK(strstr(nigh_options_error(), name));
}

static void try_both(enum nigh_compress how, unsigned codec, const char *name)
{
    if (codec_is_built(codec))
        with(how);
    else
        refused(how, name);
}

TEST(lz4_by_every_way_in_and_out)
{
    try_both(NIGH_COMPRESS_LZ4, CODEC_LZ4, "liblz4");
}

TEST(zstd_by_every_way_in_and_out)
{
    try_both(NIGH_COMPRESS_ZSTD, CODEC_ZSTD, "libzstd");
}

/* Meets an envelope: a miss, counted, and left there for who can read it. */
static void meet(const struct l2_envelope *e, const char *what)
{
    struct l2_envelope there;
    unsigned failed = check_failed_count();
    int64_t count = world_count(&reader, "l2_unpack_failed");
    CHECK_EQ(nigh_invalidate(reader.space, "k", 1, NULL), 0);
    struct l2_envelope now = *e;
    now.sequence = coherence_position(reader.cache->coherence).sequence;
    set_raw("k", &now);
    CHECK_EQ(ask_get(reader.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_EQ(world_count(&reader, "l2_unpack_failed"), count + 1);
    redisReply *r = raw_of("k");
    CHECK(decode(r, "k", &there) && there.plain_len == e->plain_len);
    freeReplyObject(r);
    CHECK_ANSWER(ask_fetch(reader.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, lies("k", false)); /* the fill took its place */
    CHECK_EQ(world_count(&reader, "envelope_bad"), 0);
    if (check_failed_count() != failed)
        check_note("that was %s", what);
}

TEST(what_does_not_decompress_is_a_miss)
{
    struct l2_envelope e;
    uint8_t payload[4096];
    enum nigh_compress how = codec_is_built(CODEC_LZ4)    ? NIGH_COMPRESS_LZ4
                             : codec_is_built(CODEC_ZSTD) ? NIGH_COMPRESS_ZSTD
                                                          : NIGH_COMPRESS_NONE;
    if (how == NIGH_COMPRESS_NONE)
        return;
    open_nodes(how);
    put("k", text, LARGE, NULL);
    redisReply *r = raw_of("k");
    REQUIRE(decode(r, "k", &e) && e.payload.len <= sizeof(payload));
    memcpy(payload, e.payload.data, e.payload.len);
    e.payload.data = payload;
    e.groups = NULL;
    const struct l2_envelope right = e;

    e.payload.len--;
    meet(&e, "truncated");
    e = right;
    e.plain_len++;
    meet(&e, "longer than it is");
    e.plain_len = LARGE - 1;
    meet(&e, "shorter than it is");
    e.plain_len = READER_MAX + 1;
    meet(&e, "above space.value_max, it says");
    e.plain_len = UINT32_MAX;
    meet(&e, "as long as can be said");
    e = right;
    payload[0] = 77;
    meet(&e, "of a codec that nobody has");
    payload[0] = CODEC_NONE;
    meet(&e, "of no codec");
    payload[0] = ((const uint8_t *)right.payload.data)[0] ^ 3; /* the other codec */
    meet(&e, "of the other codec");
    freeReplyObject(r);
    put("k", text, WRITER_MAX, NULL);
    r = raw_of("k");
    REQUIRE(decode(r, "k", &e));
    meet(&e, "above space.value_max");
    freeReplyObject(r);
    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, said[i] == 1); /* however often it was met */
    close_nodes();
}
