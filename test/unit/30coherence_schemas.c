// SPDX-License-Identifier: MIT
// The schemas in use: the list as Redis tells it, who holds it, and how long ours is registered.

#include <nigh/options.h>

#include "worlds/coherence.h"

/* ---- the text ---- */

static uint8_t text[4096];
static size_t text_len;

static void add_lens(uint32_t space_len, uint32_t schema_len)
{
    put_le32(text + text_len, space_len);
    put_le32(text + text_len + 4, schema_len);
    put_le64(text + text_len + 8, 1700000000000);
    text_len += 16;
}

static void add_bytes(const char *bytes, size_t len)
{
    memcpy(text + text_len, bytes, len);
    text_len += len;
}

static void add(const char *space, const char *schema)
{
    add_lens((uint32_t)strlen(space), (uint32_t)strlen(schema));
    add_bytes(space, strlen(space));
    add_bytes(schema, strlen(schema));
}

/* Schemas of space "s" beside `own`, in the first `len` bytes; joined by blanks. In a block of its
 * own size, so that a sanitizer sees a read past its end. */
static const char *of_text(const char *own, size_t len)
{
    static char joined[1024];
    struct bytes found[SCHEMAS_MAX];
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    uint32_t count = schemas_of(bytes_of(copy, len), bytes_of_string("s"), bytes_of_string(own),
                                found);
    CHECK_LE(count, SCHEMAS_MAX);
    joined[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        size_t at = strlen(joined);
        snprintf(joined + at, sizeof(joined) - at, "%s%.*s", i ? " " : "", (int)found[i].len,
                 (const char *)found[i].data);
    }
    free(copy);
    return joined;
}

TEST(an_empty_list_has_no_schemas)
{
    text_len = 0;
    CHECK_STR(of_text("v1", 0), "");
    struct bytes found[SCHEMAS_MAX];
    CHECK_EQ(schemas_of(bytes_of(NULL, 0), bytes_of_string("s"), bytes_of_string(""), found), 0);
}

TEST(others_of_the_space_and_no_other_spaces)
{
    text_len = 0;
    add("s", "v1");
    add("t", "v9");
    add("s", "v2");
    add("ss", "v8");
    add("", "v7");
    add("s", "");
    add("s", "v11");
    CHECK_STR(of_text("v1", text_len), "v2  v11"); /* one of them has no name */
    CHECK_STR(of_text("v2", text_len), "v1  v11");
    CHECK_STR(of_text("v", text_len), "v1 v2  v11");
    CHECK_STR(of_text("", text_len), "v1 v2 v11");
}

/* Each whole record counts, what is cut does not. */
TEST(a_list_cut_anywhere_is_read_up_to_there)
{
    text_len = 0;
    add("s", "v2");
    size_t first = text_len;
    add("s", "v3");
    for (size_t len = 0; len <= text_len; len++) {
        const char *expected = len < first ? "" : len < text_len ? "v2" : "v2 v3";
        if (!CHECK_STR(of_text("v1", len), expected))
            check_note("cut at %zu", len);
    }
}

TEST(absurd_lengths_end_the_list)
{
    static const uint32_t lens[][2] = {
        {UINT32_MAX, 2}, {1, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}, {0x80000000, 0x80000000},
        {1, 0x7fffffff}, {4000, 1}, {1, 4000},
    };
    for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
        text_len = 0;
        add("s", "v2");
        add_lens(lens[i][0], lens[i][1]);
        add_bytes("sv3", 3);
        add("s", "v4");
        check_note("%u %u", lens[i][0], lens[i][1]);
        CHECK_STR(of_text("v1", text_len), "v2");
    }
}

/* No node has such names: a key named by one would not fit into what was reckoned for it. */
TEST(names_too_long_for_names_end_the_list)
{
    static char longest[NIGH_NAME_MAX + 2];
    memset(longest, 'x', NIGH_NAME_MAX);
    text_len = 0;
    add(longest, "v9");
    add("s", longest);
    CHECK_STR(of_text("v1", text_len), longest);
    longest[NIGH_NAME_MAX] = 'x';
    text_len = 0;
    add("s", longest);
    add("s", "v4");
    CHECK_STR(of_text("v1", text_len), "");
    text_len = 0;
    add(longest, "v9");
    add("s", "v4");
    CHECK_STR(of_text("v1", text_len), "");
}

TEST(no_more_than_eight_are_read)
{
    text_len = 0;
    for (char name[3] = "va"; name[1] <= 'k'; name[1]++)
        add("s", name);
    CHECK_STR(of_text("v1", text_len), "va vb vc vd ve vf vg vh");
    CHECK_STR(of_text("va", text_len), "vb vc vd ve vf vg vh vi");
}

/* ---- the list: who holds it ---- */

static void learn(struct schemas *s, struct mem *mem, uint64_t token)
{
    struct l2_clock clock = {.schemas = token, .old_nodes = token % 2};
    text_len = 0;
    add("s", "v2");
    schemas_learn(s, mem, &clock, bytes_of(text, text_len));
}

TEST(who_has_taken_a_list_keeps_it)
{
    struct schemas s;
    struct mem *mem = mem_create();
    schemas_init(&s);
    CHECK(schemas_take(&s) == NULL);
    schemas_drop(NULL, mem);
    learn(&s, mem, 11);
    struct schema_list *first = schemas_take(&s), *again = schemas_take(&s);
    CHECK(first == again);
    CHECK_EQ(first->refs, 3);
    learn(&s, mem, 12);
    CHECK_EQ(first->refs, 2); /* ours alone by now, and as it was */
    CHECK_EQ(first->token, 11);
    CHECK(first->old_nodes);
    CHECK_MEM(first->text, first->len, text, text_len);
    schemas_drop(again, mem);
    CHECK_EQ(first->refs, 1);
    schemas_drop(first, mem);
    struct schema_list *second = schemas_take(&s);
    CHECK_EQ(second->token, 12);
    CHECK(!second->old_nodes);
    schemas_fini(&s, mem);
    CHECK_EQ(second->refs, 1);
    schemas_drop(second, mem); /* a leak, or a second free, is the sanitizer's to see */
    mem_destroy(mem);
}

TEST(an_empty_list_is_a_list)
{
    struct schemas s;
    struct mem *mem = mem_create();
    struct l2_clock clock = {.schemas = 11};
    schemas_init(&s);
    schemas_learn(&s, mem, &clock, bytes_of(NULL, 0));
    struct schema_list *list = schemas_take(&s);
    REQUIRE(list);
    CHECK_EQ(list->token, 11);
    CHECK_EQ(list->len, 0);
    schemas_drop(list, mem);
    schemas_fini(&s, mem);
    mem_destroy(mem);
}

#if NIGH_FAULTS
/* With the one before it a change would name too little, and say that it is all. */
TEST(without_memory_for_a_list_none_is_known)
{
    struct schemas s;
    struct mem *mem = mem_create();
    schemas_init(&s);
    learn(&s, mem, 11);
    fault_arm(FAULT_ALLOC, 1);
    learn(&s, mem, 12);
    fault_arm(FAULT_ALLOC, 0);
    CHECK(schemas_take(&s) == NULL);
    learn(&s, mem, 12);
    struct schema_list *list = schemas_take(&s);
    REQUIRE(list);
    CHECK_EQ(list->token, 12);
    schemas_drop(list, mem);
    schemas_fini(&s, mem);
    mem_destroy(mem);
}
#endif

/* ---- our own: coverage ---- */

#define HARD_MS 100000u
#define SLACK_MS 10000u
#define REGISTER_MS (HARD_MS + HARD_MS / 4 + 60000u)

/* Returns the answer of a script that has registered it for so long. */
static struct l2_answer registered(const world *w, uint32_t ms)
{
    return (struct l2_answer){
        .verdict = L2_STORED, .clock = world_clock(w), .registered_ms = ms};
}

static bool covered(world *w, const struct coherence_schema *s, uint32_t hard_ms)
{
    return coherence_register(w->c, s, hard_ms).token != 0;
}

TEST(the_first_value_registers)
{
    world w;
    world_open(&w);
    struct coherence_schema s = {0};
    struct l2_register r = coherence_register(w.c, &s, HARD_MS);
    CHECK_EQ(r.token, 0);
    CHECK_EQ(r.ms, REGISTER_MS);
    CHECK_NE(r.nonce, 0);
    CHECK_NE(coherence_register(w.c, &s, HARD_MS).nonce, r.nonce);
    struct l2_answer answer = registered(&w, r.ms);
    CHECK(!coherence_registered(w.c, &s, &answer));
    CHECK_EQ(s.identity, world_clock(&w).identity);
    CHECK_EQ(s.token, w.schemas);
    CHECK_EQ(s.until_ms, w.time_ms + REGISTER_MS);
    r = coherence_register(w.c, &s, HARD_MS);
    CHECK_EQ(r.token, w.schemas); /* Redis compares it with its list's: no renewal needed */
    world_close(&w);
}

TEST(the_longest_lifetimes_fit_into_a_registration)
{
    world w;
    world_open(&w);
    struct coherence_schema s = {0};
    CHECK_EQ(coherence_register(w.c, &s, UINT32_MAX).ms, UINT32_MAX);
    CHECK_EQ(coherence_register(w.c, &s, 0).ms, 60000);
    s = (struct coherence_schema){world_clock(&w).identity, w.schemas, UINT64_MAX, false};
    CHECK(covered(&w, &s, UINT32_MAX));
    s.until_ms = w.time_ms + UINT32_MAX;
    CHECK(!covered(&w, &s, UINT32_MAX)); /* counted in 64 bits */
    world_close(&w);
}

TEST(covered_up_to_the_slack_and_no_further)
{
    world w;
    world_open(&w);
    struct coherence_schema s = {world_clock(&w).identity, w.schemas, 0, false};
    uint64_t now_ms = coherence_server_time_ms(w.c);
    s.until_ms = now_ms + HARD_MS + SLACK_MS;
    CHECK(covered(&w, &s, HARD_MS));
    CHECK(!covered(&w, &s, HARD_MS + 1));
    s.until_ms--;
    CHECK(!covered(&w, &s, HARD_MS));
    world_close(&w);
}

TEST(coverage_ends_in_time_and_is_renewed)
{
    world w;
    world_open(&w);
    struct coherence_schema s = {0};
    struct l2_answer answer = registered(&w, REGISTER_MS);
    CHECK(!coherence_registered(w.c, &s, &answer));
    uint64_t left_ms = s.until_ms - HARD_MS - SLACK_MS - coherence_server_time_ms(w.c);
    fake_env_advance(&w.fake, left_ms * NS_PER_MS);
    CHECK(covered(&w, &s, HARD_MS));
    CHECK(covered(&w, &s, HARD_MS / 2));
    fake_env_advance(&w.fake, NS_PER_MS);
    CHECK(!covered(&w, &s, HARD_MS));
    CHECK(covered(&w, &s, HARD_MS / 2)); /* a shorter life is still within it */
    w.time_ms += left_ms + 1;
    answer = registered(&w, REGISTER_MS);
    CHECK(!coherence_registered(w.c, &s, &answer));
    CHECK(covered(&w, &s, HARD_MS));
    CHECK_EQ(s.until_ms, w.time_ms + REGISTER_MS);
    world_close(&w);
}

TEST(coverage_is_of_one_clock)
{
    world w;
    world_open(&w);
    struct coherence_schema s = {0};
    struct l2_answer answer = registered(&w, REGISTER_MS);
    coherence_registered(w.c, &s, &answer);
    CHECK(covered(&w, &s, 1000));
    memset(w.replid, 'b', sizeof(w.replid)); /* the same list: it came with the data, or not */
    world_pass(&w, 2 * WORLD_BEAT_MS);
    CHECK_EQ(coherence_position(w.c).identity, world_clock(&w).identity);
    CHECK(!covered(&w, &s, 1000));
    answer = registered(&w, REGISTER_MS);
    coherence_registered(w.c, &s, &answer);
    CHECK(covered(&w, &s, 1000));
    world_close(&w);
}

TEST(without_a_clock_nothing_is_covered)
{
    world w;
    world_init(&w, 64);
    struct coherence_schema s = {0, 5, UINT64_MAX, false};
    CHECK(!covered(&w, &s, 1000)); /* not even what is covered under no clock */
    world_close(&w);
}

TEST(without_the_servers_time_nothing_is_covered)
{
    world w;
    world_init(&w, 64);
    w.time_ms = 0; /* it never told */
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_EQ(coherence_server_time_ms(w.c), 0);
    struct coherence_schema s = {world_clock(&w).identity, w.schemas, UINT64_MAX, false};
    CHECK_NE(s.identity, 0);
    CHECK(!covered(&w, &s, 1000));
    world_close(&w);
}

TEST(an_answer_that_registered_nothing_changes_nothing)
{
    world w;
    world_open(&w);
    struct coherence_schema before = {1, 2, 3, false}, s = before;
    struct l2_answer answer = registered(&w, 0); /* the token was that of the list */
    CHECK(!coherence_registered(w.c, &s, &answer));
    answer = registered(&w, REGISTER_MS);
    answer.status = NIGH_ETIMEDOUT;
    CHECK(!coherence_registered(w.c, &s, &answer));
    answer.verdict = L2_CROWDED; /* of an answer that did not come */
    CHECK(!coherence_registered(w.c, &s, &answer));
    CHECK_MEM(&s, sizeof(s), &before, sizeof(before));
    world_close(&w);
}

TEST(one_schema_too_many_is_logged)
{
    world w;
    world_open(&w);
    struct coherence_schema s = {0};
    struct l2_answer answer = registered(&w, 0);
    answer.verdict = L2_CROWDED;
    CHECK(coherence_registered(w.c, &s, &answer));
    CHECK_EQ(w.fake.log_level, NIGH_LOG_ERROR);
    CHECK(strstr(w.fake.log_last, "8 schemas") != NULL);
    CHECK_EQ(s.identity, 0);
    world_close(&w);
}
