// SPDX-License-Identifier: MIT
// Commands: the same bytes as hiredis writes, wherever they lie.

#include "l2/command.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#include <nigh/error.h>

#include "support/check.h"

#define ARGS_MAX 24

static struct mem *mem;
static struct random dice;

static uint32_t below(uint32_t n)
{
    return (uint32_t)random_below(&dice, n);
}

/* Arguments of any length and content, often around a digit more and around the end of the room. */
struct args {
    const char *argv[ARGS_MAX];
    size_t lens[ARGS_MAX];
    uint32_t count;
    char *bytes;
};

static size_t any_len(void)
{
    static const size_t edges[] = {0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10000};
    switch (below(4)) {
    case 0: return edges[below(ARRAY_COUNT(edges))];
    case 1: return below(3000);
    default: return below(40);
    }
}

static void draw(struct args *a)
{
    size_t total = 0, at = 0;
    a->count = 1 + below(ARGS_MAX);
    for (uint32_t i = 0; i < a->count; i++)
        total += a->lens[i] = any_len();
    a->bytes = malloc(total + 1);
    REQUIRE(a->bytes);
    for (size_t i = 0; i < total; i++)
        a->bytes[i] = (char)random_id(&dice);
    for (uint32_t i = 0; i < a->count; at += a->lens[i++])
        a->argv[i] = a->bytes + at;
}

static void check_same(struct args *a, const struct command_wire *wire)
{
    char *expected;
    long long len = redisFormatCommandArgv(&expected, (int)a->count, a->argv, a->lens);
    REQUIRE(len >= 0);
    CHECK_MEM(wire->data, wire->len, expected, (size_t)len);
    redisFreeCommand(expected);
}

/* One of the ways to write the same argument. */
static void write_arg(struct command *c, const char *data, size_t len)
{
    size_t cut = len ? below((uint32_t)len + 1) : 0;
    const struct bytes parts[] = {bytes_of(data, cut), bytes_of(NULL, 0),
                                  bytes_of(data + cut, len - cut)};
    if (below(2))
        command_bytes(c, bytes_of(data, len));
    else
        command_joined(c, parts, ARRAY_COUNT(parts));
}

TEST(random_arguments_are_written_as_hiredis_writes_them)
{
    mem = mem_create();
    REQUIRE(mem);
    random_init(&dice, 22);
    for (int round = 0; round < 2000; round++) {
        _Alignas(16) char room[4096];
        struct command c;
        struct command_wire wire;
        struct args a;
        draw(&a);
        command_init(&c, mem, room, 16 + below(sizeof(room) - 15));
        for (uint32_t i = 0; i < a.count; i++)
            write_arg(&c, a.argv[i], a.lens[i]);
        REQUIRE_EQ(command_finish(&c, &wire), 0);
        check_same(&a, &wire);
        command_wire_free(mem, &wire);
        free(a.bytes);
    }
    mem_destroy(mem);
}

TEST(numbers_are_decimals_or_eight_bytes)
{
    static const uint64_t numbers[] = {0, 9, 10, 12345, UINT32_MAX, UINT64_MAX};
    mem = mem_create();
    REQUIRE(mem);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        char room[256], digits[24];
        uint8_t le[8];
        struct command c;
        struct command_wire wire;
        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)numbers[i]);
        put_le64(le, numbers[i]);
        struct args a = {
            .argv = {"GET", digits, (const char *)le},
            .lens = {3, strlen(digits), 8},
            .count = 3,
        };
        command_init(&c, mem, room, sizeof(room));
        command_text(&c, "GET");
        command_number(&c, numbers[i]);
        command_le64(&c, numbers[i]);
        REQUIRE_EQ(command_finish(&c, &wire), 0);
        CHECK(!wire.block);
        check_same(&a, &wire);
    }
    mem_destroy(mem);
}

TEST(many_arguments_grow_by_more_than_they_take)
{
    enum { MANY = 20000 };
    char room[64];
    struct command c;
    struct command_wire wire;
    static const char *argv[MANY];
    static size_t lens[MANY];
    mem = mem_create();
    REQUIRE(mem);
    command_init(&c, mem, room, sizeof(room));
    for (int i = 0; i < MANY; i++) {
        argv[i] = "argument";
        lens[i] = 8;
        command_text(&c, argv[i]);
    }
    REQUIRE_EQ(command_finish(&c, &wire), 0);
    CHECK(wire.block && wire.block_size < 2 * wire.len);
    char *expected;
    long long len = redisFormatCommandArgv(&expected, MANY, argv, lens);
    CHECK_MEM(wire.data, wire.len, expected, (size_t)len);
    redisFreeCommand(expected);
    command_wire_free(mem, &wire);
    mem_destroy(mem);
}

TEST(a_command_above_a_gigabyte_is_refused_before_it_is_copied)
{
    char room[64];
    struct command c;
    struct command_wire wire = {.len = 7};
    mem = mem_create();
    REQUIRE(mem);
    command_init(&c, mem, room, sizeof(room));
    command_text(&c, "SET");
    command_bytes(&c, bytes_of(room, (size_t)1 << 30)); /* is not read */
    command_text(&c, "more");
    CHECK_EQ(command_finish(&c, &wire), NIGH_ENOMEM);
    CHECK_EQ(wire.len, 7);
    mem_destroy(mem);
}

#if NIGH_FAULTS
TEST(memory_that_runs_out_at_every_growth)
{
    for (uint64_t nth = 1; nth < 8; nth++) {
        char room[32];
        struct command c;
        struct command_wire wire;
        mem = mem_create();
        REQUIRE(mem);
        fault_arm(FAULT_ALLOC, nth);
        command_init(&c, mem, room, sizeof(room));
        for (int i = 0; i < 2000; i++)
            command_text(&c, "an argument");
        bool fired = fault_count(FAULT_ALLOC) >= nth;
        fault_arm(FAULT_ALLOC, 0);
        int failed = command_finish(&c, &wire);
        CHECK_EQ(failed, fired ? NIGH_ENOMEM : 0);
        if (!failed)
            command_wire_free(mem, &wire);
        mem_destroy(mem);
    }
}
#endif
