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

/* What a fresh reader says to `text`: 1, 0 or an error. */
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
#endif
