// SPDX-License-Identifier: MIT
// The harness behind check.h: main(), the list of cases, and the printing of failures.
//
// A failure is formatted into a local buffer and goes out with one write(2): lines of
// different threads never mix and nothing is lost when the process ends at once. A check
// that fails in a loop would bury its own cause, so the program gives up at FAILURES_MAX.

#include "support/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FAILURES_MAX = 50,
    LINE_BYTES = 1024,
    SHOWN_BYTES = 48, /* shown of a memory block that differs */
};

static struct check_case *cases;
static struct check_case **cases_end = &cases;
static const char *_Atomic running = "before the first case";
static atomic_uint failed_count;
static uint64_t seed;
static unsigned seconds;

static void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void print_line(const char *format, va_list args)
{
    char line[LINE_BYTES];
    int len = vsnprintf(line, sizeof line - 1, format, args);
    if (len < 0)
        return;
    if (len > (int)sizeof line - 2)
        len = (int)sizeof line - 2;
    line[len++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)len) < 0)
        _exit(1); /* nobody reads us any more */
}

static void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(format, args);
    va_end(args);
}

/* One failed check. _exit: other threads still run and must not meet atexit handlers. */
static bool fail(struct check_site site, const char *what)
{
    print("  FAILED %s:%d in %s: %s", site.file, site.line, atomic_load(&running), what);
    unsigned count = atomic_fetch_add(&failed_count, 1) + 1;
    if (site.fatal || count >= FAILURES_MAX) {
        print("FAILED after %u failed check(s), seed %" PRIu64, count, seed);
        _exit(1);
    }
    return false;
}

void check_register(struct check_case *test)
{
    *cases_end = test;
    cases_end = &test->next;
}

bool check_true(struct check_site site, bool verdict, const char *text)
{
    return verdict || fail(site, text);
}

static bool holds(__int128 a, const char *op, __int128 b)
{
    bool or_equal = op[1] == '=';
    switch (op[0]) {
    case '=': return a == b;
    case '!': return a != b;
    case '<': return or_equal ? a <= b : a < b;
    default: return or_equal ? a >= b : a > b;
    }
}

static void integer_text(char text[32], __int128 value)
{
    if (value < 0)
        snprintf(text, 32, "%" PRId64, (int64_t)value);
    else
        snprintf(text, 32, "%" PRIu64, (uint64_t)value);
}

bool check_integer(struct check_site site, __int128 a, const char *op, __int128 b,
                   const char *text_a, const char *text_b)
{
    if (holds(a, op, b))
        return true;
    char what[LINE_BYTES / 2], value_a[32], value_b[32];
    integer_text(value_a, a);
    integer_text(value_b, b);
    snprintf(what, sizeof what, "%s %s %s: %s is not %s %s", text_a, op, text_b, value_a, op,
             value_b);
    return fail(site, what);
}

bool check_string(struct check_site site, const char *a, const char *b, const char *text_a,
                  const char *text_b)
{
    if (a == b || (a && b && strcmp(a, b) == 0))
        return true;
    char what[LINE_BYTES];
    snprintf(what, sizeof what, "%s equals %s: \"%s\" is not \"%s\"", text_a, text_b,
             a ? a : "(null)", b ? b : "(null)");
    return fail(site, what);
}

static void memory_text(char *text, size_t text_len, const unsigned char *data, size_t len)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < len && i < SHOWN_BYTES && used + 5 < text_len; i++) {
        bool plain = data[i] >= ' ' && data[i] < 127 && data[i] != '\\';
        used += (size_t)snprintf(text + used, text_len - used, plain ? "%c" : "\\x%02x", data[i]);
    }
}

bool check_memory(struct check_site site, const void *a, size_t a_len, const void *b,
                  size_t b_len, const char *text_a, const char *text_b)
{
    if (a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0))
        return true;
    char what[LINE_BYTES], shown_a[SHOWN_BYTES * 4 + 8], shown_b[SHOWN_BYTES * 4 + 8];
    memory_text(shown_a, sizeof shown_a, a, a_len);
    memory_text(shown_b, sizeof shown_b, b, b_len);
    snprintf(what, sizeof what, "%s equals %s: %zu bytes \"%s\" are not %zu bytes \"%s\"",
             text_a, text_b, a_len, shown_a, b_len, shown_b);
    return fail(site, what);
}

void check_note(const char *format, ...)
{
    char note[LINE_BYTES - 16];
    va_list args;
    va_start(args, format);
    vsnprintf(note, sizeof note, format, args);
    va_end(args);
    print("  note: %s", note);
}

unsigned check_failed_count(void)
{
    return atomic_load(&failed_count);
}

uint64_t check_seed(void)
{
    return seed;
}

unsigned check_seconds(unsigned otherwise)
{
    return seconds ? seconds : otherwise;
}

uint64_t check_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t read_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t check_now_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

uint64_t check_coarse_ms(void)
{
    return read_ms(CLOCK_MONOTONIC_COARSE);
}

void check_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void run(const struct check_case *test)
{
    unsigned failed_before = check_failed_count();
    uint64_t start_ms = check_now_ms();
    atomic_store(&running, test->name);
    print("run    %s", test->name); /* names the test in which the program crashes, if it does */
    test->run();
    print("%-6s %s (%" PRIu64 " ms)", check_failed_count() == failed_before ? "ok" : "FAILED",
          test->name, check_now_ms() - start_ms);
}

static const struct check_case *find(const char *name)
{
    for (const struct check_case *test = cases; test; test = test->next)
        if (strcmp(test->name, name) == 0)
            return test;
    print("no case '%s'; --list shows their names", name);
    exit(2);
}

static uint64_t number(const char *option, const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = text ? strtoull(text, &end, 0) : 0;
    if (!text || errno || end == text || *end) {
        print("%s needs a number, not '%s'", option, text ? text : "");
        exit(2);
    }
    return value;
}

static void read_environment(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    seed = (uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32;
    if (getenv("NIGH_SEED"))
        seed = number("NIGH_SEED", getenv("NIGH_SEED"));
    if (getenv("NIGH_SECONDS"))
        seconds = (unsigned)number("NIGH_SECONDS", getenv("NIGH_SECONDS"));
}

/* Takes the options out of argv and returns how many case names are left in it. */
static int read_options(int argc, char **argv)
{
    int names = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            seed = number(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            seconds = (unsigned)number(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--list") == 0) {
            for (const struct check_case *test = cases; test; test = test->next)
                print("%s", test->name);
            exit(0);
        } else {
            argv[names++] = argv[i];
        }
    }
    return names;
}

int main(int argc, char **argv)
{
    read_environment();
    int names = read_options(argc, argv);
    print("seed %" PRIu64, seed);
    for (int i = 0; i < names; i++)
        run(find(argv[i]));
    for (const struct check_case *test = cases; test && names == 0; test = test->next)
        run(test);

    unsigned failed = check_failed_count();
    if (!cases)
        print("FAILED: no cases");
    else if (failed)
        print("FAILED: %u check(s), seed %" PRIu64, failed, seed);
    return failed || !cases;
}
