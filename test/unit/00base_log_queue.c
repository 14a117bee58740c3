// SPDX-License-Identifier: MIT
/*
 * The log's queue: who writes never waits, whatever the one who reads does.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/date.h"
#include "support/check.h"

#define PATIENCE_MS 20000
#define HEARD_MAX 400

/* ---- a hook that keeps what it hears, and holds up its thread when told to ---- */

struct ear {
    pthread_mutex_t lock;
    unsigned count;
    char heard[HEARD_MAX][LOG_TEXT_BYTES];
    _Atomic bool blocked;
    _Atomic bool inside;
    _Atomic int exits; /* so many times it ends its thread */
    pthread_t thread;
};

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct ear *e = arg;
    (void)level;
    pthread_mutex_lock(&e->lock);
    e->thread = pthread_self();
    if (e->count < HEARD_MAX)
        snprintf(e->heard[e->count++], LOG_TEXT_BYTES, "%s", message);
    pthread_mutex_unlock(&e->lock);
    atomic_store(&e->inside, true);
    while (atomic_load(&e->blocked))
        check_pause();
    atomic_store(&e->inside, false);
    if (atomic_load(&e->exits) > 0) {
        atomic_fetch_sub(&e->exits, 1);
        pthread_exit(NULL);
    }
}

static unsigned heard_count(struct ear *e)
{
    pthread_mutex_lock(&e->lock);
    unsigned count = e->count;
    pthread_mutex_unlock(&e->lock);
    return count;
}

static void ear_open(struct ear *e, struct log *log, bool own_thread)
{
    struct log_out out;
    memset(e, 0, sizeof(*e));
    pthread_mutex_init(&e->lock, NULL);
    *log = (struct log){.leave_ns = CLOCK_NEVER_NS}; /* a slow machine is no failure */
    REQUIRE(log_out_init(&out, hear, e, NIGH_LOG_TO_NONE));
    REQUIRE_EQ(log_open(log, &out, own_thread), 0);
}

static void push(struct log *log, int i)
{
    char text[32];
    snprintf(text, sizeof(text), "line %d", i);
    log_queue_push(log->queue, NIGH_LOG_INFO, text);
}

/* Static: one that is left behind with a hook that blocks is looked at until the program ends. */
static struct ear ear;

TEST(lines_are_handed_out_in_order_on_a_thread_of_their_own)
{
    struct log log;
    ear_open(&ear, &log, true);
    for (int i = 0; i < 100; i++)
        push(&log, i);
    CHECK(log_flush(&log));
    CHECK_EQ(heard_count(&ear), 100);
    CHECK(!pthread_equal(ear.thread, pthread_self()));
    for (int i = 0; i < 100; i++) {
        char text[32];
        snprintf(text, sizeof(text), "line %d", i);
        CHECK_STR(ear.heard[i], text);
    }
    push(&log, 100);
    log_close(&log);
    CHECK_EQ(ear.count, 101);
}

static void lose(int count, const char *next_line)
{
    struct log log;
    int last = 128 + count;
    ear_open(&ear, &log, true);
    atomic_store(&ear.blocked, true);
    push(&log, 0);
    CHECK_WITHIN(PATIENCE_MS, atomic_load(&ear.inside));
    for (int i = 1; i <= last; i++)
        push(&log, i);
    CHECK_EQ(log_lost(&log), count);
    atomic_store(&ear.blocked, false);
    CHECK_WITHIN(PATIENCE_MS, heard_count(&ear) == 129);
    CHECK_STR(ear.heard[128], "line 128");
    push(&log, last + 1);
    push(&log, last + 2);
    log_close(&log);
    CHECK_STR(ear.heard[129], next_line);
    CHECK_EQ(ear.count, 131);
}

TEST(what_finds_no_place_is_lost_and_the_next_line_says_so)
{
    lose(172, "line 301 (172 lines before it were lost)");
    CHECK_STR(ear.heard[130], "line 302");
    lose(1, "line 130 (1 line before it was lost)");
}

TEST(closing_leaves_a_hook_that_blocks_after_a_second)
{
    static struct ear blocked;
    struct log log;
    ear_open(&blocked, &log, true);
    log.leave_ns = 0;
    atomic_store(&blocked.blocked, true);
    push(&log, 0);
    push(&log, 1);
    CHECK_WITHIN(PATIENCE_MS, atomic_load(&blocked.inside));
    uint64_t start_ms = check_now_ms();
    CHECK(!log_flush(&log));
    log_close(&log);
    CHECK_GE(check_now_ms() - start_ms, 1000);
    CHECK(atomic_load(&blocked.inside));
    atomic_store(&blocked.blocked, false); /* it comes back, to a queue that is only its own */
    CHECK_WITHIN(PATIENCE_MS, !atomic_load(&blocked.inside));
    CHECK_EQ(heard_count(&blocked), 1);
}

TEST(a_hook_that_ended_its_thread_hears_on_from_another)
{
    struct log log;
    ear_open(&ear, &log, true);
    atomic_store(&ear.exits, 3);
    for (int i = 0; i < 10; i++)
        push(&log, i);
    CHECK(log_flush(&log));
    CHECK_EQ(heard_count(&ear), 10);
    atomic_store(&ear.exits, 1);
    push(&log, 10);
    log_close(&log);
    CHECK_EQ(ear.count, 11);
    CHECK_EQ(log_lost(&log), 0);
}

#if NIGH_FAULTS
TEST(without_another_thread_lines_are_lost_and_closing_does_not_hang)
{
    struct log log;
    ear_open(&ear, &log, true);
    atomic_store(&ear.exits, 1);
    fault_arm(FAULT_THREAD, 1);
    push(&log, 0);
    CHECK_WITHIN(PATIENCE_MS, fault_count(FAULT_THREAD) == 1);
    fault_arm(FAULT_THREAD, 0);
    for (int i = 1; i <= 129; i++)
        push(&log, i);
    CHECK_EQ(log_lost(&log), 1);
    CHECK(!log_flush(&log));
    log_close(&log);
    CHECK_EQ(ear.count, 1);
}

TEST(opening_gives_its_errors)
{
    struct log_out out;
    struct log log = {0};
    REQUIRE(log_out_init(&out, hear, &ear, NIGH_LOG_TO_NONE));
    fault_arm(FAULT_ALLOC, 1);
    CHECK_EQ(log_open(&log, &out, true), NIGH_ENOMEM);
    fault_arm(FAULT_ALLOC, 0);
    fault_arm(FAULT_THREAD, 1);
    CHECK_EQ(log_open(&log, &out, true), NIGH_ETHREAD);
    fault_arm(FAULT_THREAD, 0);
    log_close(&log); /* nothing is there */
}
#endif

static void *turn_on_a_thread(void *arg)
{
    log_turn(arg);
    return NULL;
}

TEST(without_a_thread_the_turn_hands_out)
{
    struct log log;
    pthread_t thread;
    ear_open(&ear, &log, false);
    push(&log, 0);
    CHECK_EQ(heard_count(&ear), 0);
    log_turn(&log);
    CHECK_EQ(heard_count(&ear), 1);
    CHECK(pthread_equal(ear.thread, pthread_self()));

    push(&log, 1);
    atomic_store(&ear.exits, 1); /* it ends a thread of the host's in the midst of its turn */
    REQUIRE(pthread_create(&thread, NULL, turn_on_a_thread, &log) == 0);
    pthread_join(thread, NULL);
    push(&log, 2);
    log_close(&log);
    CHECK_EQ(heard_count(&ear), 3);
}

/* ---- many writers ---- */

enum { WRITERS = 4, LINES_EACH = 20000 };
static _Atomic unsigned sum_heard, sum_said_lost;

static void add_up(void *arg, enum nigh_log_level level, const char *message)
{
    unsigned lost = 0;
    (void)arg, (void)level;
    const char *more = strchr(message, '(');
    if (more)
        CHECK_EQ(sscanf(more, "(%u lines", &lost), 1);
    atomic_fetch_add(&sum_said_lost, lost);
    atomic_fetch_add(&sum_heard, 1);
}

static void *write_many(void *arg)
{
    for (int i = 0; i < LINES_EACH; i++)
        log_queue_push(arg, NIGH_LOG_INFO, "text");
    return NULL;
}

TEST(what_is_heard_and_lost_is_what_was_written)
{
    struct log_out out;
    struct log log = {.leave_ns = CLOCK_NEVER_NS};
    pthread_t threads[WRITERS];
    REQUIRE(log_out_init(&out, add_up, NULL, NIGH_LOG_TO_NONE));
    REQUIRE_EQ(log_open(&log, &out, true), 0);
    for (int i = 0; i < WRITERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, write_many, log.queue) == 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_WITHIN(PATIENCE_MS, sum_heard + log_lost(&log) == WRITERS * LINES_EACH);
    log_queue_push(log.queue, NIGH_LOG_INFO, "text"); /* tells of those at the end */
    uint64_t lost = log_lost(&log);
    log_close(&log);
    CHECK_EQ(sum_said_lost, lost);
}

/* ---- stderr ---- */

/* Put `fd` (closed here) in the place of descriptor 2, -1: nothing; what was there comes back. */
static int stderr_becomes(int fd)
{
    int before = dup(STDERR_FILENO); /* -1: nothing */
    if (fd >= 0) {
        REQUIRE(dup2(fd, STDERR_FILENO) == STDERR_FILENO);
        close(fd);
    } else {
        close(STDERR_FILENO);
    }
    return before;
}

/* Checks that each line begins with a time between the two and this process, and takes that out. */
static void undate(char *text, uint64_t from_ns, uint64_t until_ns)
{
    char process[32];
    int len = snprintf(process, sizeof(process), "Z nigh[%d]: ", (int)getpid());
    for (char *line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
        struct tm tm = {0};
        unsigned ms = 0;
        const char *end = strptime(line, "%Y-%m-%dT%H:%M:%S.", &tm);
        bool is = end && sscanf(end, "%3u", &ms) == 1;
        if (!CHECK(is && strncmp(end + 3, process, (size_t)len) == 0))
            return;
        uint64_t at_ms = (uint64_t)timegm(&tm) * 1000 + ms;
        CHECK(at_ms >= from_ns / NS_PER_MS && at_ms <= until_ns / NS_PER_MS);
        memmove(line, end + 3 + len, strlen(end + 3 + len) + 1);
    }
}

static bool to_stderr(struct log_out *out)
{
    return log_out_init(out, NULL, NULL, NIGH_LOG_TO_STDERR);
}

TEST(stderr_gets_warnings_and_errors_a_line_each)
{
    struct log_out out;
    struct log log = {.leave_ns = CLOCK_NEVER_NS};
    int ends[2];
    char text[200];
    static struct log_site site;
    REQUIRE(pipe(ends) == 0);
    int before = stderr_becomes(ends[1]);
    uint64_t from_ns = clock_kernel_ns(CLOCK_REALTIME);
    REQUIRE(to_stderr(&out));
    REQUIRE_EQ(log_open(&log, &out, true), 0);
    log_write(&log, NIGH_LOG_INFO, &site, "not for stderr");
    log_write(&log, NIGH_LOG_WARN, &site, "number %d", 1);
    log_queue_push(log.queue, NIGH_LOG_ERROR, "number 2");
    log_close(&log);
    ssize_t n = read(ends[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    undate(text, from_ns, clock_kernel_ns(CLOCK_REALTIME));
    CHECK_STR(text, "warning: number 1\nerror: number 2\n");
    close(stderr_becomes(before));
    close(ends[0]);
}

TEST(a_full_pipe_loses_lines_and_delays_nothing)
{
    struct log_out out;
    struct log log = {0};
    int ends[2];
    char text[4096];
    REQUIRE(pipe(ends) == 0);
    int flags = fcntl(ends[1], F_GETFL);
    fcntl(ends[1], F_SETFL, flags | O_NONBLOCK);
    memset(text, 'x', sizeof(text));
    while (write(ends[1], text, sizeof(text)) > 0)
        continue;
    fcntl(ends[1], F_SETFL, flags);
    int before = stderr_becomes(ends[1]);
    REQUIRE(to_stderr(&out));
    REQUIRE_EQ(log_open(&log, &out, false), 0); /* this thread would hang */
    log_queue_push(log.queue, NIGH_LOG_WARN, "lost");
    log_queue_push(log.queue, NIGH_LOG_WARN, "lost");
    log_turn(&log);
    CHECK_EQ(log_lost(&log), 2);
    CHECK_EQ(fcntl(STDERR_FILENO, F_GETFL), flags);
    while (read(ends[0], text, sizeof(text)) == (ssize_t)sizeof(text)) {
        log_queue_push(log.queue, NIGH_LOG_WARN, "there is room");
        log_turn(&log);
        if (log_lost(&log) == 2)
            break;
    }
    close(stderr_becomes(before));
    log_close(&log);
    size_t len = 0;
    for (ssize_t n; (n = read(ends[0], text + len, 1)) == 1 && len < sizeof(text) - 1;)
        len += text[len] != 'x';
    text[len] = 0;
    undate(text, 0, UINT64_MAX);
    CHECK_STR(text, "warning: there is room (2 lines before it were lost)\n");
    close(ends[0]);
}

/* Each day of 400 years, after which all comes again, and the last second before it. */
TEST(dates_are_those_of_libc)
{
    for (uint64_t day = 1; day <= 146098; day++)
        for (uint64_t at = 86400 * day - 1; at <= 86400 * day; at++) {
            struct date d = date_of(at);
            struct tm tm = {.tm_year = (int)d.year - 1900, .tm_mon = (int)d.month - 1,
                            .tm_mday = (int)d.day, .tm_hour = (int)d.hour,
                            .tm_min = (int)d.minute, .tm_sec = (int)d.second};
            if (!CHECK_EQ(timegm(&tm), at) || !CHECK_EQ(tm.tm_mday, d.day) ||
                !CHECK_EQ(tm.tm_mon + 1, d.month))
                return;
        }
}

/* Without a thread lines wait for a tick, and are of when they were written. */
TEST(a_line_has_the_time_of_its_writing)
{
    struct log_out out;
    struct log log = {0};
    int ends[2];
    char text[200];
    REQUIRE(pipe(ends) == 0);
    int before = stderr_becomes(ends[1]);
    REQUIRE(to_stderr(&out));
    REQUIRE_EQ(log_open(&log, &out, false), 0);
    uint64_t from_ns = clock_kernel_ns(CLOCK_REALTIME);
    log_queue_push(log.queue, NIGH_LOG_WARN, "early");
    uint64_t until_ns = clock_kernel_ns(CLOCK_REALTIME);
    while (clock_kernel_ns(CLOCK_REALTIME) / NS_PER_MS == until_ns / NS_PER_MS)
        continue;
    log_turn(&log);
    close(stderr_becomes(before));
    log_close(&log);
    ssize_t n = read(ends[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    undate(text, from_ns, until_ns);
    CHECK_STR(text, "warning: early\n");
    close(ends[0]);
}

TEST(a_pipe_whose_reader_is_gone_raises_no_signal)
{
    struct log_out out;
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    int before = stderr_becomes(ends[1]);
    REQUIRE(to_stderr(&out));
    close(ends[0]);
    CHECK(!log_out_write(&out, NIGH_LOG_WARN, 0, "nobody hears"));
    close(stderr_becomes(before));
}

/* Says whether lines are counted while what `fd` (closed here) is stands at descriptor 2, by
 * default or when asked for. */
static bool counts(int fd, enum nigh_log_to to)
{
    struct log_out out;
    REQUIRE(fd >= 0);
    int before = stderr_becomes(fd);
    bool is = log_out_init(&out, NULL, NULL, to) && log_out_write(&out, NIGH_LOG_WARN, 0, "heard");
    close(stderr_becomes(before));
    return is;
}

TEST(descriptor_2_was_no_stderr)
{
    struct log_out out;
    int pair[2];
    for (int to = NIGH_LOG_TO_DEFAULT; to <= NIGH_LOG_TO_STDERR; to++) {
        int before = stderr_becomes(-1);
        CHECK(!log_out_init(&out, NULL, NULL, to));
        REQUIRE(dup2(before, STDERR_FILENO) == STDERR_FILENO);
        close(before);
        CHECK(!counts(open("/dev/null", O_RDONLY | O_CLOEXEC), to));
        CHECK(!counts(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), to));
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        CHECK(counts(pair[0], to));
        close(pair[1]);
    }
}

static const char *temporary(char path[24])
{
    strcpy(path, "/tmp/nigh_log_XXXXXX");
    close(mkstemp(path));
    return path;
}

static off_t size_of(const char *path)
{
    struct stat file;
    REQUIRE(stat(path, &file) == 0);
    return file.st_size;
}

/* 2>f, 2>>f, 2<>f, a test's capture; but not what a host reads and writes under that number. */
TEST(any_file_that_can_be_one_is_stderr)
{
    char path[24];
    temporary(path);
    CHECK(counts(open(path, O_RDWR | O_CLOEXEC), NIGH_LOG_TO_DEFAULT)); /* new, and dup2() */
    off_t one_line = size_of(path);
    CHECK_GT(one_line, 0);
    CHECK(!counts(open(path, O_RDWR | O_CLOEXEC), NIGH_LOG_TO_DEFAULT)); /* before the data */
    CHECK_EQ(size_of(path), one_line);
    CHECK(counts(open(path, O_RDWR | O_APPEND | O_CLOEXEC), NIGH_LOG_TO_DEFAULT));
    CHECK_EQ(size_of(path), 2 * one_line);
    CHECK(counts(open(path, O_WRONLY | O_CLOEXEC), NIGH_LOG_TO_DEFAULT));
    CHECK(counts(open(path, O_RDWR | O_CLOEXEC), NIGH_LOG_TO_STDERR)); /* as was said */
    int unnamed = open(path, O_RDWR | O_CLOEXEC);
    unlink(path);
    CHECK(counts(unnamed, NIGH_LOG_TO_DEFAULT));
}

TEST(a_file_that_was_merely_given_the_number_is_none)
{
    struct log_out out;
    char path[24];
    int file = open(temporary(path), O_RDWR | O_CLOEXEC), before = stderr_becomes(-1);
    REQUIRE(file >= 0 && dup3(file, STDERR_FILENO, O_CLOEXEC) == STDERR_FILENO);
    CHECK(!log_out_init(&out, NULL, NULL, NIGH_LOG_TO_DEFAULT));
    CHECK(log_out_init(&out, NULL, NULL, NIGH_LOG_TO_STDERR));
    close(stderr_becomes(before));
    close(file);
    unlink(path);
}

TEST(descriptor_2_became_another_file)
{
    struct log_out out;
    char first[24], second[24], third[24];
    int before = stderr_becomes(open(temporary(first), O_WRONLY | O_CLOEXEC));
    REQUIRE(log_out_init(&out, NULL, NULL, NIGH_LOG_TO_DEFAULT));
    CHECK(log_out_write(&out, NIGH_LOG_WARN, 0, "in the first"));
    int data = open(temporary(second), O_WRONLY | O_CLOEXEC);
    REQUIRE(dup3(data, STDERR_FILENO, O_CLOEXEC) == STDERR_FILENO);
    CHECK(!log_out_write(&out, NIGH_LOG_WARN, 0, "damage"));
    close(stderr_becomes(open(temporary(third), O_WRONLY | O_APPEND | O_CLOEXEC)));
    for (int i = 0; i < 2; i++)
        CHECK(log_out_write(&out, NIGH_LOG_WARN, 0, "rotated"));
    close(stderr_becomes(before));
    close(data);
    CHECK_GT(size_of(first), 0);
    CHECK_EQ(size_of(second), 0);
    CHECK_GT(size_of(third), size_of(first));
    unlink(first), unlink(second), unlink(third);
}

/* ---- syslog: this program's own, in the place of the C library's ---- */

static int syslog_priority = -1;
static char syslog_text[LOG_TEXT_BYTES];

static void keep_syslog(int priority, const char *format, va_list args)
{
    syslog_priority = priority;
    vsnprintf(syslog_text, sizeof(syslog_text), format, args);
}

void syslog(int priority, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    keep_syslog(priority, format, args);
    va_end(args);
}

void __syslog_chk(int priority, int flag, const char *format, ...); /* where it is fortified */
void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list args;
    (void)flag;
    va_start(args, format);
    keep_syslog(priority, format, args);
    va_end(args);
}

TEST(syslog_gets_them_under_the_hosts_own_name)
{
    struct log_out out;
    REQUIRE(log_out_init(&out, NULL, NULL, NIGH_LOG_TO_SYSLOG));
    CHECK_EQ(log_out_level(&out), NIGH_LOG_WARN);
    CHECK(log_out_write(&out, NIGH_LOG_ERROR, 0, "100%s"));
    CHECK_EQ(syslog_priority, LOG_ERR);
    CHECK_STR(syslog_text, "nigh: 100%s");
    CHECK(!log_out_init(&out, NULL, NULL, NIGH_LOG_TO_NONE));
}
