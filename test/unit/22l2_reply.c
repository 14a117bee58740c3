// SPDX-License-Identifier: MIT
// The reader: replies cut anywhere, and every limit.

#include "l2/reply.h"

#include <stdio.h>
#include <stdlib.h>

#include <nigh/error.h>

#include "support/check.h"

#define BULK_MAX 1000

static struct mem *mem;

static void begin(struct reader *r)
{
    mem = mem_create();
    REQUIRE(mem);
    REQUIRE_EQ(reader_init(r, mem, BULK_MAX), 0);
}

static void end(struct reader *r)
{
    reader_fini(r);
    mem_destroy(mem);
}

static void feed(struct reader *r, const char *text)
{
    CHECK_EQ(reader_feed(r, text, strlen(text)), 0);
}

/* Returns what a fresh reader says to `text`: 1, 0 or an error. */
static int verdict(const char *text)
{
    struct reader r;
    struct reply *reply = NULL;
    begin(&r);
    feed(&r, text);
    int got = reader_next(&r, &reply);
    reply_free(reply);
    end(&r);
    return got;
}

TEST(all_types)
{
    struct reader r;
    struct reply *reply;
    begin(&r);
    static const char text[] = "*6\r\n$3\r\na\0b\r\n:-7\r\n$-1\r\n+OK\r\n-ERR no\r\n*0\r\n";
    CHECK_EQ(reader_feed(&r, text, sizeof(text) - 1), 0);
    REQUIRE_EQ(reader_next(&r, &reply), 1);
    REQUIRE_EQ(reply->type, REPLY_ARRAY);
    REQUIRE_EQ(reply->count, 6);
    CHECK_MEM(reply->elements[0]->bytes.data, reply->elements[0]->bytes.len, "a\0b", 3);
    CHECK_EQ(reply_integer_at(reply, 1, 0), -7);
    CHECK_EQ(reply->elements[2]->type, REPLY_NIL);
    CHECK_EQ(reply->elements[3]->type, REPLY_STATUS);
    CHECK(reply_is_error(reply->elements[4], "ERR"));
    CHECK(!reply_is_error(reply->elements[4], "ER"));
    CHECK_EQ(reply->elements[5]->count, 0);
    CHECK(reply_string_at(reply, 0, 3).data != NULL);
    CHECK(reply_string_at(reply, 0, 4).data == NULL);
    CHECK(reply_string_at(reply, 6, SIZE_MAX).data == NULL);
    CHECK_EQ(reply_integer_at(reply, 99, 5), 5);
    reply_free(reply);
    CHECK_EQ(reader_next(&r, &reply), 0);
    end(&r);
}

TEST(cut_at_every_byte)
{
    static const char text[] = "*3\r\n$5\r\nhello\r\n:1763718000000\r\n*1\r\n$-1\r\n+12345678\r\n";
    size_t len = sizeof(text) - 1;
    for (size_t cut = 1; cut < len; cut++) {
        struct reader r;
        struct reply *reply;
        int replies = 0, got;
        begin(&r);
        CHECK_EQ(reader_feed(&r, text, cut), 0);
        while ((got = reader_next(&r, &reply)) > 0)
            reply_free(reply), replies++;
        CHECK_EQ(got, 0);
        CHECK_EQ(reader_feed(&r, text + cut, len - cut), 0);
        while ((got = reader_next(&r, &reply)) > 0)
            reply_free(reply), replies++;
        CHECK_EQ(got, 0);
        if (!CHECK_EQ(replies, 2))
            check_note("cut at %zu", cut);
        end(&r);
    }
}

/* ---- with and without hiredis ---- */

static void show(FILE *f, const struct reply *reply)
{
    fprintf(f, "(%d %lld %u ", (int)reply->type, (long long)reply->integer, reply->count);
    if (reply->bytes.len > 0)
        fwrite(reply->bytes.data, 1, reply->bytes.len, f);
    for (uint32_t i = 0; i < reply->count; i++)
        show(f, reply->elements[i]);
    fputc(')', f);
}

/* Reads `text` in pieces, as a connection does: whole replies are taken from each piece, if
 * `takes`, and the rest is fed. Writes what came of it. */
static void read_pieces(const char *text, size_t len, size_t piece, bool takes, FILE *f)
{
    _Alignas(16) char room[256];
    struct reader r;
    struct reply *reply;
    int got = 0;
    begin(&r);
    reader_use_room(&r, room, sizeof(room));
    for (size_t at = 0; at < len && got == 0;) {
        size_t end = at + piece < len ? at + piece : len;
        long took = 0;
        while (takes && at < end && (took = reader_take(&r, text + at, end - at, &reply)) > 0) {
            at += (size_t)took;
            show(f, reply);
            reply_free(reply);
            reader_use_room(&r, room, sizeof(room));
        }
        CHECK(took >= 0);
        if (at < end)
            CHECK_EQ(reader_feed(&r, text + at, end - at), 0);
        at = end;
        while ((got = reader_next(&r, &reply)) > 0) {
            show(f, reply);
            reply_free(reply);
            reader_use_room(&r, room, sizeof(room));
        }
    }
    fprintf(f, " %d", got);
    end(&r);
}

static void compare(const char *text, size_t len, size_t piece)
{
    char *with = NULL, *without = NULL;
    size_t with_len, without_len;
    FILE *f = open_memstream(&with, &with_len), *g = open_memstream(&without, &without_len);
    REQUIRE(f && g);
    read_pieces(text, len, piece, false, f);
    read_pieces(text, len, piece, true, g);
    fclose(f);
    fclose(g);
    if (!CHECK_MEM(without, without_len, with, with_len))
        check_note("pieces of %zu of: %.*s", piece, (int)len, text);
    free(with);
    free(without);
}

/* Puts a reply, most often one of the usual kind, which may be wrong somewhere. */
static size_t put_reply(struct random *dice, char *at, unsigned depth)
{
    static const char *const odd[] = {
        /* as it should be */
        "$-1\r\n", "$-1\r\n", "$-1\r\n", ":7\r\n", "+OK\r\n", "-ERR no\r\n", "*-1\r\n", "*0\r\n",
        "$0\r\n\r\n",
        /* or not */
        "$-2\r\n", "$00\r\n\r\n", "$03\r\nabc\r\n", "$\r\n", "*\r\n", "$+1\r\nx\r\n", "$1\rx\r\n",
        "$2\r\nxyz", "$1001\r\n", "$ 1\r\nx\r\n", "*99999\r\n", "?\r\n", "$2147483648\r\n",
        "$18446744073709551617\r\n",
    };
    size_t len = 0;
    if (random_below(dice, 4) == 0) {
        bool broken = random_below(dice, 8) == 0;
        const char *text = odd[random_below(dice, broken ? ARRAY_COUNT(odd) : 9)];
        return (size_t)sprintf(at, "%s", text);
    }
    if (depth < 3 && random_below(dice, 3) == 0) {
        unsigned count = (unsigned)random_below(dice, 6);
        len = (size_t)sprintf(at, "*%u\r\n", count);
        for (unsigned i = 0; i < count; i++)
            len += put_reply(dice, at + len, depth + 1);
        return len;
    }
    unsigned size = (unsigned)random_below(dice, 40);
    len = (size_t)sprintf(at, "$%u\r\n", size);
    for (unsigned i = 0; i < size; i++)
        at[len++] = "\r\n$*12abc"[random_below(dice, 9)];
    return len + (size_t)sprintf(at + len, "\r\n");
}

TEST(what_is_taken_as_it_lies_there_is_what_hiredis_says)
{
    static char text[64 << 10];
    struct random dice;
    random_init(&dice, check_seed());
    for (int round = 0; round < 3000; round++) {
        size_t len = 0;
        for (uint64_t n = 1 + random_below(&dice, 5); n > 0; n--)
            len += put_reply(&dice, text + len, 0);
        compare(text, len, len);
        compare(text, len, 1 + (size_t)random_below(&dice, len));
    }
}

/* The usual kind never gets to hiredis, which would find it with reader_next(). */
TEST(the_usual_is_taken_as_it_lies_there)
{
    static const char *const texts[] = {"$0\r\n\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*0\r\n",
                                        "*2\r\n$1\r\nx\r\n$-1\r\n"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct reader r;
        struct reply *reply;
        begin(&r);
        CHECK_EQ(reader_take(&r, texts[i], strlen(texts[i]), &reply), (long)strlen(texts[i]));
        reply_free(reply);
        CHECK_EQ(reader_take(&r, texts[i], strlen(texts[i]) - 1, &reply), 0);
        feed(&r, "$");
        CHECK_EQ(reader_take(&r, texts[i], strlen(texts[i]), &reply), 0); /* inside another */
        end(&r);
    }
}

/* ---- limits ---- */

TEST(sizes_that_no_reply_of_ours_has)
{
    CHECK_EQ(verdict("$1000\r\n"), 0);
    CHECK_EQ(verdict("$1001\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("$9223372036854775807\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("$99999999999999999999\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*1\r\n$1001\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*2147483647\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*4294967297\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*9223372036854775807\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*32832\r\n"), 0);
    CHECK_EQ(verdict("*32833\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*2\r\n*32830\r\n"), 0); /* all arrays of a reply together */
    CHECK_EQ(verdict("*2\r\n*32831\r\n"), NIGH_EREDIS);
}

TEST(malformed)
{
    CHECK_EQ(verdict("$-2\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*-2\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("$x\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*1x\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict(":9x\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict(":99999999999999999999\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("HTTP/1.1 400 Bad Request\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), 1);
    CHECK_EQ(verdict("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), NIGH_EREDIS);
}

TEST(types_of_another_protocol)
{
    CHECK_EQ(verdict(",1.5\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("#t\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("(12345\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("=5\r\ntxt:a\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("%1\r\n+a\r\n:1\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict("~1\r\n+a\r\n"), NIGH_EREDIS);
    CHECK_EQ(verdict(">1\r\n+a\r\n"), NIGH_EREDIS);
}

/* Whether what comes behind these replies is known as RESP3: fed at once, and in parts. */
static bool is_known(const char *replies, const char *text)
{
    struct reader r;
    struct reply *reply = NULL;
    char both[64];
    bool known[2];
    for (int parts = 0; parts < 2; parts++) {
        begin(&r);
        snprintf(both, sizeof(both), "%s%s", replies, parts ? "" : text);
        feed(&r, both);
        while (reader_next(&r, &reply) > 0)
            reply_free(reply);
        if (parts)
            feed(&r, text);
        CHECK_EQ(reader_next(&r, &reply), NIGH_EREDIS);
        known[parts] = r.is_resp3;
        end(&r);
    }
    CHECK_EQ(known[0], known[1]);
    return known[0];
}

TEST(another_protocol_is_known_by_its_first_byte)
{
    static const char *const texts[] = {"_\r\n", "#t\r\n", ",1.5\r\n", "(1\r\n", "!1\r\na\r\n",
                                        "=5\r\ntxt:a\r\n", "%0\r\n", "~0\r\n", ">0\r\n", "|0\r\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CHECK(is_known("", texts[i]));
        CHECK(is_known("+OK\r\n*1\r\n$1\r\n>\r\n", texts[i]));
    }
    CHECK(!is_known("+OK\r\n", "?\r\n"));
    CHECK(!is_known("", "*1\r\n>1\r\n+a\r\n"));
}

/* A line without an end, a reply without an end: memory must not follow the server's wish. */
TEST(endless_replies)
{
    struct reader r;
    struct reply *reply;
    static char chunk[65536];
    int got = 0, chunks = 0;
    memset(chunk, 'x', sizeof(chunk));
    begin(&r);
    feed(&r, "+");
    while ((got = reader_next(&r, &reply)) == 0 && chunks++ < 1000)
        REQUIRE_EQ(reader_feed(&r, chunk, sizeof(chunk)), 0);
    CHECK_EQ(got, NIGH_EREDIS);
    CHECK_LE(chunks, 70);
    end(&r);
}

TEST(a_large_reply_leaves_no_large_buffer)
{
    struct reader r;
    struct reply *reply;
    mem = mem_create();
    REQUIRE(mem);
    REQUIRE_EQ(reader_init(&r, mem, 1u << 20), 0);
    char *big = malloc((1u << 20) + 32);
    REQUIRE(big);
    int head = sprintf(big, "$%u\r\n", 1u << 20);
    memset(big + head, 'v', 1u << 20);
    memcpy(big + head + (1u << 20), "\r\n", 2);
    CHECK_EQ(reader_feed(&r, big, (size_t)head + (1u << 20) + 2), 0);
    REQUIRE_EQ(reader_next(&r, &reply), 1);
    CHECK_EQ(reply->bytes.len, 1u << 20);
    reply_free(reply);
    struct redisReader *before = r.hiredis;
    feed(&r, "+OK\r\n");
    CHECK(r.hiredis != before);
    CHECK_EQ(reader_next(&r, &reply), 1);
    reply_free(reply);
    free(big);
    end(&r);
}

/* ---- a room ---- */

static bool lies_in(const void *at, const char *room, size_t size)
{
    return (const char *)at >= room && (const char *)at < room + size;
}

TEST(a_reply_goes_into_the_room_as_far_as_it_fits)
{
    static const char text[] = "*3\r\n$5\r\nhello\r\n:7\r\n$300\r\n";
    _Alignas(16) char room[512], large[302];
    struct reader r;
    struct reply *reply;
    begin(&r);
    memset(large, 'x', 300);
    memcpy(large + 300, "\r\n", 2);
    for (size_t size = 0; size <= sizeof(room); size += 16) {
        reader_use_room(&r, room, size);
        feed(&r, text);
        CHECK_EQ(reader_next(&r, &reply), 0); /* a part is in the room */
        CHECK_EQ(reader_feed(&r, large, sizeof(large)), 0);
        REQUIRE_EQ(reader_next(&r, &reply), 1);
        REQUIRE_EQ(reply->count, 3);
        CHECK_MEM(reply->elements[0]->bytes.data, reply->elements[0]->bytes.len, "hello", 5);
        CHECK_EQ(reply_integer_at(reply, 1, 0), 7);
        CHECK_MEM(reply->elements[2]->bytes.data, reply->elements[2]->bytes.len, large, 300);
        for (uint32_t i = 0; i < 3; i++)
            CHECK(!lies_in(reply->elements[i], room, size) || !reply->elements[i]->mem);
        CHECK(size < 100 || lies_in(reply, room, size));
        reply_free(reply);
    }
    end(&r);
}

TEST(a_reader_ends_with_a_part_of_a_reply_in_the_room)
{
    static const char text[] = "*3\r\n$5\r\nhello\r\n$4\r\nab";
    _Alignas(16) char room[128];
    struct reader r;
    struct reply *reply;
    begin(&r);
    reader_use_room(&r, room, sizeof(room));
    feed(&r, text);
    CHECK_EQ(reader_next(&r, &reply), 0);
    end(&r);
}

/* ---- many elements ---- */

#define ELEMENTS 2000

static char *array_of(size_t len, size_t *ret_size)
{
    char *text = malloc(64 + ELEMENTS * (len + 32)), *at = text;
    REQUIRE(text);
    at += sprintf(at, "*%d\r\n", ELEMENTS);
    for (int i = 0; i < ELEMENTS; i++) {
        at += sprintf(at, "$%zu\r\n%0*d", len, (int)len, i);
        at += sprintf(at, "\r\n");
    }
    *ret_size = (size_t)(at - text);
    return text;
}

TEST(elements_of_an_array_share_allocations)
{
    struct reader r;
    struct reply *reply;
    size_t size;
    char *text = array_of(100, &size);
    begin(&r);
    for (int round = 0; round < 2; round++) {
        unsigned allocations = 0;
        CHECK_EQ(reader_feed(&r, text, size), 0);
        REQUIRE_EQ(reader_next(&r, &reply), 1);
        REQUIRE_EQ(reply->count, ELEMENTS);
        for (int i = 0; i < ELEMENTS; i++) {
            char wanted[101];
            snprintf(wanted, sizeof(wanted), "%0*d", 100, i);
            CHECK_MEM(reply->elements[i]->bytes.data, reply->elements[i]->bytes.len, wanted, 100);
            allocations += reply->elements[i]->mem != NULL;
        }
        CHECK_LT(allocations, ELEMENTS / 50);
        reply_free(reply);
    }
    free(text);
    end(&r);
}

/* Whatever is left of an allocation that elements shared, the next reply has nothing of it. */
TEST(nothing_of_a_reply_outlives_it)
{
    struct reader r;
    char text[4096];
    begin(&r);
    for (int len = 1; len < 400; len++) {
        struct reply *first, *second;
        int head = snprintf(text, sizeof(text), "*3\r\n$10\r\n%010d\r\n$3\r\nabc\r\n$%d\r\n%0*d"
                                                "\r\n", len, len, len, 7);
        CHECK_EQ(reader_feed(&r, text, (size_t)head), 0);
        REQUIRE_EQ(reader_next(&r, &first), 1);
        reply_free(first);
        feed(&r, "*2\r\n$4\r\nnext\r\n$-1\r\n");
        REQUIRE_EQ(reader_next(&r, &second), 1);
        CHECK_MEM(second->elements[0]->bytes.data, second->elements[0]->bytes.len, "next", 4);
        reply_free(second);
    }
    end(&r);
}

TEST(what_an_array_has_too_much_is_left_out)
{
    struct reader r;
    struct reply *reply;
    size_t size;
    char *text = array_of(BULK_MAX, &size);
    begin(&r);
    r.reply_max = 50 * BULK_MAX; /* so that the test is small */
    for (int round = 0; round < 2; round++) {
        for (size_t at = 0; at < size; at += 4096) {
            size_t len = size - at < 4096 ? size - at : 4096;
            CHECK_EQ(reader_feed(&r, text + at, len), 0);
            CHECK_EQ(reader_next(&r, &reply), at + len == size); /* not given up */
        }
        for (int i = 0; i < ELEMENTS; i++)
            CHECK_EQ(reply->elements[i]->type, i < 50 ? REPLY_STRING : REPLY_LEFT);
        reply_free(reply);
    }
    feed(&r, "$3\r\nabc\r\n");
    REQUIRE_EQ(reader_next(&r, &reply), 1);
    CHECK_MEM(reply->bytes.data, reply->bytes.len, "abc", 3);
    reply_free(reply);
    free(text);
    end(&r);
}

#if NIGH_FAULTS
TEST(memory_that_runs_out_at_every_point)
{
    static const char text[] = "*3\r\n$5\r\nhello\r\n:1\r\n*1\r\n$-1\r\n";
    for (uint64_t nth = 1; nth < 20; nth++) {
        struct reader r;
        struct reply *reply = NULL;
        mem = mem_create();
        REQUIRE(mem);
        fault_arm(FAULT_ALLOC, nth);
        int got = reader_init(&r, mem, BULK_MAX);
        if (!got)
            got = reader_feed(&r, text, sizeof(text) - 1);
        if (!got)
            got = reader_next(&r, &reply);
        fault_arm(FAULT_ALLOC, 0);
        CHECK(got == 1 || got == NIGH_ENOMEM);
        reply_free(reply);
        end(&r);
    }
}

TEST(memory_that_runs_out_without_hiredis)
{
    static char text[20100] = "*2\r\n$10000\r\n"; /* each in an allocation of its own */
    size_t len = strlen(text);
    memset(text + len, 'x', 10000);
    len += 10000;
    len += (size_t)sprintf(text + len, "\r\n$10000\r\n") + 10000;
    memset(text + len - 10000, 'y', 10000);
    len += (size_t)sprintf(text + len, "\r\n");
    for (uint64_t nth = 1; nth < 6; nth++) {
        struct reader r;
        struct reply *reply = NULL;
        mem = mem_create();
        REQUIRE(mem);
        REQUIRE_EQ(reader_init(&r, mem, 10000), 0);
        fault_arm(FAULT_ALLOC, nth);
        long got = reader_take(&r, text, len, &reply);
        fault_arm(FAULT_ALLOC, 0);
        CHECK(nth == 1 ? got == NIGH_ENOMEM : got == (long)len || got == NIGH_ENOMEM);
        reply_free(got > 0 ? reply : NULL);
        end(&r);
    }
}
#endif
