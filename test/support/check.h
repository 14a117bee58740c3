/* SPDX-License-Identifier: MIT */
/*
 * check.h - the test harness: named cases and checks that any thread may make.
 *
 *     TEST(table_grows)                       // registers itself; main() is in check.c
 *     {
 *         REQUIRE(l1_open(&l1) == 0);         // failed: print, end the program
 *         CHECK_EQ(l1_count(l1), 3);          // failed: print both values, go on
 *         CHECK_WITHIN(2000, l1_count(l1) == 0);
 *     }
 *
 *     prog                     all cases, in the order of the file
 *     prog CASE...             only these
 *     prog --list              their names
 *     --seed N (NIGH_SEED), --seconds N (NIGH_SECONDS)    for torture; the seed is printed
 *
 * Why not a framework: theirs unwind with longjmp, so an assertion in a second thread ends
 * the program without a summary. Here a check only counts and prints (one write per line,
 * so that threads do not mix), and REQUIRE ends the whole process with status 1 from
 * whatever thread it is in. Every check is an expression with its verdict as value:
 *
 *     if (!CHECK(entry))
 *         return NULL;
 */
#ifndef NIGH_TEST_CHECK_H
#define NIGH_TEST_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check_case {
    const char *name;
    void (*run)(void);
    struct check_case *next;
};

/* Where a check stands and what it says. */
struct check_site {
    const char *file;
    int line;
    bool fatal;
};

void check_register(struct check_case *test);
bool check_true(struct check_site site, bool verdict, const char *text);
bool check_integer(struct check_site site, __int128 a, const char *op, __int128 b,
                   const char *text_a, const char *text_b);
bool check_string(struct check_site site, const char *a, const char *b,
                  const char *text_a, const char *text_b);
bool check_memory(struct check_site site, const void *a, size_t a_len, const void *b,
                  size_t b_len, const char *text_a, const char *text_b);

/* Print a line "  note: ..." under the running case (values that explain a failure). */
void check_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Failures so far, in all threads. */
unsigned check_failed_count(void);

/* The seed of this run; derive each thread's own stream from it. */
uint64_t check_seed(void);

/* How long a torture case should run; `otherwise` unless the caller of the program said. */
unsigned check_seconds(unsigned otherwise);

/* Next number of a splitmix64 stream: any starting value will do. */
uint64_t check_random(uint64_t *state);

/* CLOCK_MONOTONIC, for deadlines of tests (never for verdicts about speed). */
uint64_t check_now_ms(void);

/* CLOCK_MONOTONIC_COARSE, which a hit takes for now: behind check_now_ms() by a tick of the kernel,
 * and by more while the processor that advances it is kept from running. */
uint64_t check_coarse_ms(void);

/* Sleep one millisecond: only for use between two looks at a condition. */
void check_pause(void);

#define TEST(name)                                                                         \
    static void test_##name(void);                                                         \
    __attribute__((constructor)) static void check_register_##name(void)                   \
    {                                                                                      \
        static struct check_case test = {#name, test_##name, NULL};                        \
        check_register(&test);                                                             \
    }                                                                                      \
    static void test_##name(void)

/* A test between `open` and `close`, which do what all tests of its kind have in common. */
#define TEST_BETWEEN(open, close, name)                                                    \
    static void name##_within(void);                                                       \
    TEST(name)                                                                             \
    {                                                                                      \
        open();                                                                            \
        name##_within();                                                                   \
        close();                                                                           \
    }                                                                                      \
    static void name##_within(void)

#define CHECK_SITE ((struct check_site){__FILE__, __LINE__, false})
#define REQUIRE_SITE ((struct check_site){__FILE__, __LINE__, true})

#define CHECK(cond) check_true(CHECK_SITE, !!(cond), #cond)
#define REQUIRE(cond) check_true(REQUIRE_SITE, !!(cond), #cond)

/* Integers of any type: 128 bits hold both int64_t and uint64_t, so -1 != UINT64_MAX. */
#define CHECK_EQ(a, b) check_integer(CHECK_SITE, (a), "==", (b), #a, #b)
#define CHECK_NE(a, b) check_integer(CHECK_SITE, (a), "!=", (b), #a, #b)
#define CHECK_LT(a, b) check_integer(CHECK_SITE, (a), "<", (b), #a, #b)
#define CHECK_LE(a, b) check_integer(CHECK_SITE, (a), "<=", (b), #a, #b)
#define CHECK_GT(a, b) check_integer(CHECK_SITE, (a), ">", (b), #a, #b)
#define CHECK_GE(a, b) check_integer(CHECK_SITE, (a), ">=", (b), #a, #b)
#define REQUIRE_EQ(a, b) check_integer(REQUIRE_SITE, (a), "==", (b), #a, #b)

/* Either may be NULL, which equals only NULL. */
#define CHECK_STR(a, b) check_string(CHECK_SITE, (a), (b), #a, #b)
#define CHECK_MEM(a, a_len, b, b_len) check_memory(CHECK_SITE, (a), (a_len), (b), (b_len), #a, #b)

/* Waits for a condition instead of sleeping and hoping: looks every millisecond. The last look
 * begins when the time is over, however long the one before took: it tells what is so from then. */
#define CHECK_WITHIN(ms, cond)                                                             \
    __extension__({                                                                        \
        uint64_t check_end_ = check_now_ms() + (ms);                                       \
        bool check_met_, check_last_;                                                      \
        do {                                                                               \
            check_last_ = check_now_ms() >= check_end_;                                    \
            check_met_ = !!(cond);                                                         \
        } while (!check_met_ && !check_last_ && (check_pause(), true));                    \
        check_true(CHECK_SITE, check_met_, #cond " (within " #ms " ms)");                  \
    })

#endif
