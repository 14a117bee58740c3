// SPDX-License-Identifier: MIT
// The control socket under those who ask and those who harm: lines and their answers, bounds,
// clients that never read or never finish; its file, whose it is and when it is taken over.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/base.h"
#include "base/fault.h"
#include "control/server.h"
#include "support/dial.h"

#define MUCH 20000u /* lines: more than a socket takes */
#define HUGE (40u << 20) /* bytes: more than half of the longest answer */
#define SLOW 400u     /* clients: most of them wait in the kernel, some to get there */
#define STARTS 50u    /* of which many are seen between two steps, were there two */
#define PATIENCE_MS 60000 /* for what must come; never a verdict about speed */

struct server {
    struct env env;
    struct control *control;
    char folder[40];
    char path[60];
    _Atomic unsigned lines; /* answered */
};

static long write_huge(void *arg, char *buffer, size_t size)
{
    (void)arg;
    memset(buffer, 'x', u64_min(size, HUGE));
    return HUGE;
}

/* Answers with empty lines that have just room, but not the blanks that they are sent with. */
static void fill_up(struct control_reply *reply)
{
    size_t len = CONTROL_REPLY_BYTES - 8192;
    char *text = malloc(len);
    memset(text, '\n', len);
    control_reply_add(reply, bytes_of(text, len));
    free(text);
}

/* Answers with the words, and by their wish with much, or with empty lines. */
static void answer(void *arg, const struct control_request *q, struct control_reply *reply)
{
    struct server *s = arg;
    const char *first = q->words[0].data;
    if (strcmp(first, "fail") == 0)
        control_error(reply, "it was %u words", q->count);
    if (strcmp(first, "empty") == 0)
        control_print(reply, "\na\n\n\nb\n");
    for (unsigned i = 0; strcmp(first, "much") == 0 && i < MUCH; i++)
        control_print(reply, "%08u 0123456789abcdef0123456789abcdef\n", i);
    if (strcmp(first, "huge") == 0)
        control_append(reply, write_huge, NULL);
    if (strcmp(first, "brim") == 0)
        fill_up(reply);
    for (unsigned i = 0; strcmp(first, "toomuch") == 0 && i < 2000000; i++)
        control_print(reply, "%08u 0123456789abcdef0123456789abcdef\n", i);
    for (uint32_t i = 0; i < q->count; i++)
        control_print(reply, "<%.*s>", (int)q->words[i].len, (const char *)q->words[i].data);
    atomic_fetch_add(&s->lines, 1);
}

static int open_at(struct server *s, const char *path, uint64_t client_ns)
{
    struct control_config config = {
        .env = &s->env, .host = {answer, s}, .path = path, .line_ns = client_ns,
        .take_ns = client_ns,
    };
    return control_open(&config, &s->control);
}

static void prepare(struct server *s)
{
    *s = (struct server){.control = NULL};
    strcpy(s->folder, "/tmp/nigh-control-XXXXXX");
    REQUIRE(mkdtemp(s->folder));
    snprintf(s->path, sizeof(s->path), "%s/s", s->folder);
    REQUIRE_EQ(env_init_real(&s->env, true), 0);
}

static bool listens(const char *path)
{
    int fd = dial_open(path);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void start(struct server *s, uint64_t client_ns)
{
    prepare(s);
    REQUIRE_EQ(open_at(s, s->path, client_ns), 0);
    REQUIRE(CHECK_WITHIN(PATIENCE_MS, listens(s->path)));
}

static void stop(struct server *s)
{
    control_close(s->control);
    CHECK_EQ(access(s->path, F_OK), -1);
    if (!CHECK_EQ(rmdir(s->folder), 0)) /* nothing is left beside it */
        check_note("%s: %s", s->folder, strerror(errno));
    env_fini(&s->env);
}

static char *ask(const struct server *s, const char *line)
{
    static _Thread_local char text[DIAL_BYTES];
    if (!CHECK(dial_ask(s->path, line, text)))
        strcpy(text, "nobody listens");
    return text;
}

/* Asks until it is answered: where a client has 100 ms only, a slow machine may take them. */
static bool is_answered(const struct server *s)
{
    char text[DIAL_BYTES];
    return CHECK_WITHIN(PATIENCE_MS, dial_ask(s->path, "a\n", text) && text[0]) &&
           CHECK_STR(text, "<a>\n\n");
}

/* ---- lines ---- */

TEST(a_line_has_its_answer_and_the_connection_its_end)
{
    struct server s;
    start(&s, 0);
    CHECK_STR(ask(&s, "a b\n"), "<a><b>\n\n");
    CHECK_STR(ask(&s, "a \"b c\" \\x64\r\n"), "<a><b c><d>\n\n");
    CHECK_STR(ask(&s, "fail x\n"), "error: it was 2 words\n\n");
    CHECK_STR(ask(&s, "\n"), "error: a command is wanted: help lists them\n\n");
    CHECK_STR(ask(&s, "a \"\n"), "error: a quote is not closed\n\n");
    CHECK_STR(ask(&s, "first\nsecond\n"), "<first>\n\n"); /* one line, one connection */
    CHECK_STR(ask(&s, "empty\n"), " \na\n \n \nb\n<empty>\n\n");
    stop(&s);
}

TEST(a_line_without_its_end_is_one_when_the_client_sends_no_more)
{
    struct server s;
    char text[DIAL_BYTES];
    start(&s, 0);
    int fd = dial_open(s.path);
    CHECK(dial_send(fd, "half", 4));
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    dial_read_all(fd, text);
    CHECK_STR(text, "<half>\n\n");
    fd = dial_open(s.path);
    shutdown(fd, SHUT_WR);
    CHECK_EQ(dial_read_all(fd, text), 0);
    stop(&s);
}

TEST(after_prompt_it_answers_line_after_line)
{
    struct server s;
    char text[DIAL_BYTES];
    start(&s, 0);
    int fd = dial_open(s.path);
    CHECK(dial_send(fd, "prompt\na\n", 9));
    CHECK(dial_read_until(fd, "\n> ", text));
    CHECK_STR(text, "> <a>\n\n> ");
    CHECK(dial_send(fd, "\nb\r\n", 4));
    CHECK(dial_read_until(fd, "\n> ", text));
    CHECK_STR(text, "> <b>\n\n> ");
    CHECK(dial_send(fd, "c\nquit\nd\n", 9));
    dial_read_all(fd, text);
    CHECK_STR(text, "<c>\n\n> ");
    stop(&s);
}

TEST(a_long_answer_comes_whole_and_one_that_is_too_long_not_at_all)
{
    struct server s;
    char more[4096];
    size_t len = 0;
    start(&s, 0);
    int fd = dial_open(s.path);
    CHECK(dial_send(fd, "much\n", 5));
    for (ssize_t n; (n = recv(fd, more, sizeof(more), 0)) > 0;)
        len += (size_t)n;
    close(fd);
    CHECK_EQ(len, MUCH * 42 + strlen("<much>\n\n"));
    CHECK_STR(ask(&s, "toomuch\n"),
              "error: the answer is too long, or there is no memory for it\n\n");
    CHECK_STR(ask(&s, "brim\n"), "error: the answer is too long, or there is no memory for it\n\n");
    stop(&s);
}

/* ---- those who harm ---- */

static char *garbage(size_t len)
{
    char *text = malloc(len);
    REQUIRE(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(i % 7 ? 'x' : 0);
    return text;
}

TEST(a_line_of_a_mebibyte_is_refused)
{
    struct server s;
    char text[DIAL_BYTES];
    char *line = garbage(1u << 20);
    start(&s, 0);
    int fd = dial_open(s.path);
    dial_send(fd, line, 1u << 20); /* it is cut off in the middle */
    dial_read_all(fd, text);
    CHECK_STR(text, "error: a line has at most 65536 bytes\n\n");
    fd = dial_open(s.path);
    CHECK(dial_send(fd, line, CONTROL_LINE_BYTES - 1) && dial_send(fd, "\n", 1));
    CHECK_GT(dial_read_all(fd, text), 0);
    CHECK_STR(ask(&s, "still here\n"), "<still><here>\n\n");
    CHECK_EQ(s.lines, 2);
    free(line);
    stop(&s);
}

/* Whether the server has closed the connection, whatever is still to be read. */
static bool is_closed(int fd)
{
    struct pollfd p = {.fd = fd};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* Reads what has come until the end, and closes. Returns how much. */
static size_t count_all(int fd)
{
    static char more[1 << 16];
    size_t len = 0;
    for (ssize_t n; (n = recv(fd, more, sizeof(more), 0)) > 0;)
        len += (size_t)n;
    close(fd);
    return len;
}

TEST(clients_that_never_finish_or_never_read_are_dropped)
{
    struct server s;
    int fds[SLOW];
    start(&s, 100 * NS_PER_MS);
    for (size_t i = 0; i < SLOW; i++) {
        fds[i] = dial_open(s.path);
        REQUIRE(fds[i] >= 0);
        dial_send(fds[i], i % 2 ? "half a line" : "much\n", i % 2 ? 11 : 5);
    }
    CHECK(is_answered(&s)); /* when those before it have had their time */
    for (size_t i = 0; i < SLOW; i++) {
        CHECK_WITHIN(PATIENCE_MS, is_closed(fds[i]));
        size_t len = count_all(fds[i]);
        CHECK_LT(len, i % 2 ? 1 : MUCH * 42);
    }
    stop(&s);
}

/* Sends one more byte of a line without an end. */
static bool drips_in_vain(int fd)
{
    return !dial_send(fd, "x", 1);
}

/* Takes one more byte of the answer. */
static bool sips_in_vain(int fd, size_t *taken)
{
    char byte;
    *taken += recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
    return is_closed(fd);
}

TEST(who_sends_or_takes_a_byte_at_a_time_gets_no_more_time)
{
    struct server s;
    size_t taken = 0;
    start(&s, 100 * NS_PER_MS);
    int sips = dial_open(s.path);
    REQUIRE(sips >= 0);
    dial_send(sips, "much\n", 5);
    CHECK_WITHIN(PATIENCE_MS, sips_in_vain(sips, &taken));
    CHECK_LT(taken + count_all(sips), MUCH * 42);
    int drips = dial_open(s.path);
    REQUIRE(drips >= 0);
    CHECK_WITHIN(PATIENCE_MS, drips_in_vain(drips));
    close(drips);
    CHECK_LT(s.lines, 2); /* what has dripped is no line */
    stop(&s);
}

/* Takes so many bytes of what it is sent. */
static bool takes(int fd, size_t len)
{
    static char more[1 << 16];
    for (ssize_t n; len > 0; len -= (size_t)n)
        if ((n = recv(fd, more, u64_min(len, sizeof(more)), 0)) <= 0)
            return false;
    return true;
}

/* Lines that came with the ones before were answered, however much was waiting to be taken. */
TEST(lines_that_are_sent_at_once_fill_no_more_memory)
{
    static const char sent[] = "prompt\nmuch\nhuge\n";
    const size_t much = strlen("> <much>\n\n> ") + MUCH * 42;
    const size_t huge = strlen("<huge>\n\n> ") + HUGE;
    struct server s;
    int fds[3];
    start(&s, 3600 * NS_PER_S);
    for (int i = 0; i < 3; i++) {
        fds[i] = dial_open(s.path);
        REQUIRE(fds[i] >= 0 && dial_send(fds[i], sent, sizeof(sent) - 1));
    }
    CHECK_WITHIN(PATIENCE_MS, s.lines == 3); /* all lines are with the server */
    for (int i = 0; i < 3; i++)
        CHECK(takes(fds[i], much));
    CHECK(takes(fds[0], huge / 2));
    CHECK_EQ(s.lines, 3 + 2); /* the third one waits */
    CHECK(takes(fds[0], huge - huge / 2));
    CHECK(takes(fds[1], huge));
    CHECK(takes(fds[2], huge));
    CHECK_EQ(s.lines, 3 + 3);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    stop(&s);
}

static bool has_prompt(int *fd, const struct server *s)
{
    char text[DIAL_BYTES];
    *fd = dial_open(s->path);
    if (*fd >= 0 && dial_send(*fd, "prompt\n", 7) && dial_read_until(*fd, "> ", text))
        return true;
    close(*fd);
    return false;
}

TEST(a_client_that_has_the_prompt_makes_room_for_those_who_wait)
{
    struct server s;
    int fds[CONTROL_CLIENTS_MAX];
    start(&s, 100 * NS_PER_MS);
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        CHECK_WITHIN(PATIENCE_MS, has_prompt(&fds[i], &s));
    CHECK(is_answered(&s));
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
    stop(&s);
}

/* 60 connections that nobody used kept all others out for 40 s. */
TEST(who_says_nothing_has_a_place_only_while_nobody_wants_it)
{
    struct server s;
    char text[DIAL_BYTES];
    int fds[2 * CONTROL_CLIENTS_MAX];
    start(&s, 3600 * NS_PER_S);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = dial_open(s.path);
        REQUIRE(fds[i] >= 0);
        if (i == 0)
            dial_send(fds[i], "half a ", 7);
    }
    CHECK(is_answered(&s));
    CHECK(!is_closed(fds[0])); /* who has begun a line keeps its place */
    dial_send(fds[0], "line\n", 5);
    dial_read_all(fds[0], text);
    CHECK_STR(text, "<half><a><line>\n\n");
    for (size_t i = 1; i < ARRAY_COUNT(fds); i++)
        close(fds[i]);
    stop(&s);
}

struct crowd {
    struct server *s;
    pthread_t thread;
    _Atomic unsigned *right;
};

static void *ask_in_crowd(void *arg)
{
    struct crowd *c = arg;
    if (CHECK_STR(ask(c->s, "a b\n"), "<a><b>\n\n"))
        atomic_fetch_add(c->right, 1);
    return NULL;
}

TEST(a_hundred_at_once_are_all_served)
{
    struct server s;
    struct crowd crowd[100];
    _Atomic unsigned right = 0;
    start(&s, 0);
    for (size_t i = 0; i < 100; i++) {
        crowd[i] = (struct crowd){.s = &s, .right = &right};
        REQUIRE_EQ(pthread_create(&crowd[i].thread, NULL, ask_in_crowd, &crowd[i]), 0);
    }
    for (size_t i = 0; i < 100; i++)
        pthread_join(crowd[i].thread, NULL);
    CHECK_EQ(right, 100);
    stop(&s);
}

TEST(clients_that_leave_at_any_moment_harm_nobody)
{
    struct server s;
    uint64_t random = check_seed();
    static const char sent[] = "much\nmuch\nprompt\nmuch\n";
    start(&s, 0);
    for (int i = 0; i < 200; i++) {
        int fd = dial_open(s.path);
        REQUIRE(fd >= 0);
        dial_send(fd, sent, check_random(&random) % sizeof(sent));
        if (check_random(&random) % 2)
            (void)!recv(fd, (char[64]){0}, 64, MSG_DONTWAIT);
        close(fd);
    }
    CHECK_STR(ask(&s, "a\n"), "<a>\n\n");
    stop(&s);
}

TEST(closing_does_not_wait_for_clients)
{
    struct server s;
    char text[DIAL_BYTES];
    start(&s, 0);
    int idle = dial_open(s.path);
    int full = dial_open(s.path);
    dial_send(full, "much\n", 5);
    CHECK_WITHIN(PATIENCE_MS, s.lines == 1);
    stop(&s);
    CHECK_EQ(dial_read_all(idle, text), 0);
    dial_read_all(full, text);
}

/* ---- the file ---- */

TEST(a_path_that_cannot_be_a_sockets_is_refused)
{
    struct server s;
    char path[120];
    prepare(&s);
    CHECK_EQ(open_at(&s, "relative", 0), NIGH_EOPTION);
    memset(path, 'x', sizeof(path));
    memcpy(path, "/tmp/", 5);
    path[108] = '\0';
    CHECK_EQ(open_at(&s, path, 0), NIGH_EOPTION);
    path[90] = '/'; /* its folder is too long */
    path[100] = '\0';
    CHECK_EQ(open_at(&s, path, 0), NIGH_EOPTION);
    rmdir(s.folder);
    env_fini(&s.env);
}

TEST(the_file_is_private_and_has_the_process_in_its_name)
{
    struct server s;
    struct stat file;
    char path[80];
    prepare(&s);
    mode_t before = umask(0);
    snprintf(path, sizeof(path), "%s/{pid}.s", s.folder);
    REQUIRE_EQ(open_at(&s, path, 0), 0);
    snprintf(s.path, sizeof(s.path), "%s/%d.s", s.folder, (int)getpid());
    CHECK_WITHIN(PATIENCE_MS, listens(s.path));
    umask(before);
    CHECK_EQ(lstat(s.path, &file), 0);
    CHECK_EQ(file.st_mode & 07777, 0600);
    stop(&s);
}

/* A server in a process of its own, until it is killed. */
static pid_t start_apart(const struct server *s)
{
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child > 0)
        return child;
    struct server apart = *s;
    if (env_init_real(&apart.env, true) == 0 && open_at(&apart, s->path, 0) == 0)
        pause();
    _exit(1);
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

TEST(a_file_of_the_dead_is_taken_over)
{
    struct server s;
    prepare(&s);
    pid_t other = start_apart(&s);
    CHECK_WITHIN(PATIENCE_MS, listens(s.path));
    end(other);
    CHECK_EQ(access(s.path, F_OK), 0);
    REQUIRE_EQ(open_at(&s, s.path, 0), 0);
    CHECK_WITHIN(PATIENCE_MS, listens(s.path));
    CHECK_STR(ask(&s, "a\n"), "<a>\n\n");
    stop(&s);
}

/* From the moment that there is a file, it has no other name that a killed process would leave. */
TEST(a_file_never_has_two_names)
{
    struct server s;
    struct stat file;
    prepare(&s);
    for (unsigned i = 0; i < STARTS && check_failed_count() == 0; i++) {
        pid_t other = start_apart(&s);
        uint64_t end_ms = check_now_ms() + PATIENCE_MS;
        while (stat(s.path, &file) != 0 && check_now_ms() < end_ms)
            ; /* who is in no hurry sees one name only */
        CHECK_EQ(file.st_nlink, 1);
        end(other);
        CHECK_EQ(unlink(s.path), 0);
    }
    CHECK_EQ(rmdir(s.folder), 0);
    env_fini(&s.env);
}

#if NIGH_FAULTS
/* As on a network's or a FUSE file system. */
TEST(where_a_rename_may_replace_there_is_a_socket_all_the_same)
{
    struct server s;
    prepare(&s);
    fault_arm(FAULT_RENAME, 1);
    REQUIRE_EQ(open_at(&s, s.path, 0), 0);
    CHECK_WITHIN(PATIENCE_MS, listens(s.path));
    CHECK_EQ(fault_count(FAULT_RENAME), 1);
    fault_arm(FAULT_RENAME, 0);
    CHECK_STR(ask(&s, "a\n"), "<a>\n\n");
    stop(&s);
}
#endif

TEST(a_file_of_the_living_is_not_taken_until_they_leave)
{
    struct server s;
    prepare(&s);
    pid_t other = start_apart(&s);
    CHECK_WITHIN(PATIENCE_MS, listens(s.path));
    REQUIRE_EQ(open_at(&s, s.path, 0), 0);
    CHECK_STR(ask(&s, "a\n"), "<a>\n\n"); /* the other's answer */
    CHECK_EQ(s.lines, 0);
    end(other);
    char text[DIAL_BYTES];
    CHECK_WITHIN(PATIENCE_MS, (dial_ask(s.path, "b\n", text), s.lines > 0));
    stop(&s);
}

TEST(who_has_not_got_the_file_leaves_it)
{
    struct server s;
    prepare(&s);
    pid_t other = start_apart(&s);
    CHECK_WITHIN(PATIENCE_MS, listens(s.path));
    REQUIRE_EQ(open_at(&s, s.path, 0), 0);
    control_close(s.control);
    CHECK_STR(ask(&s, "a\n"), "<a>\n\n");
    end(other);
    unlink(s.path);
    CHECK_EQ(rmdir(s.folder), 0);
    env_fini(&s.env);
}

TEST(what_is_no_socket_is_left_as_it_is)
{
    struct server s;
    struct stat file;
    prepare(&s);
    close(open(s.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    REQUIRE_EQ(open_at(&s, s.path, 0), 0);
    CHECK(lstat(s.path, &file) == 0 && S_ISREG(file.st_mode));
    CHECK_EQ(unlink(s.path), 0);
    CHECK_WITHIN(PATIENCE_MS, listens(s.path)); /* it is tried again */
    CHECK(lstat(s.path, &file) == 0 && S_ISSOCK(file.st_mode));
    stop(&s);
}

TEST(a_file_that_was_removed_is_made_again)
{
    struct server s;
    start(&s, 0);
    for (int i = 0; i < 2; i++) {
        REQUIRE_EQ(unlink(s.path), 0);
        CHECK_WITHIN(PATIENCE_MS, listens(s.path));
        CHECK_STR(ask(&s, "a\n"), "<a>\n\n");
    }
    stop(&s);
}

TEST(a_file_that_was_replaced_is_not_removed)
{
    struct server s;
    start(&s, 0);
    unlink(s.path);
    close(open(s.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    control_close(s.control);
    CHECK_EQ(unlink(s.path), 0);
    CHECK_EQ(rmdir(s.folder), 0);
    env_fini(&s.env);
}

/* ---- fork, and descriptors that the host closes ---- */

static ino_t inode_at(const char *path)
{
    struct stat file;
    return lstat(path, &file) == 0 ? file.st_ino : 0;
}

TEST(a_child_keeps_the_socket_of_a_dead_parent_from_nobody)
{
    struct server s;
    int pipe_fds[2];
    pid_t grandchild = 0;
    prepare(&s);
    REQUIRE_EQ(pipe(pipe_fds), 0);
    pid_t parent = fork();
    REQUIRE(parent >= 0);
    if (parent == 0) {
        struct server apart = s;
        if (env_init_real(&apart.env, true) != 0 || open_at(&apart, s.path, 0) != 0)
            _exit(1);
        while (!listens(s.path))
            check_pause();
        pid_t child = fork(); /* has the listening socket open */
        if (child == 0)
            pause();
        (void)!write(pipe_fds[1], &child, sizeof(child));
        pause();
    }
    REQUIRE_EQ(read(pipe_fds[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    end(parent);
    CHECK(listens(s.path)); /* as far as the kernel can tell */
    ino_t before = inode_at(s.path);
    REQUIRE_EQ(open_at(&s, s.path, 0), 0);
    CHECK_WITHIN(PATIENCE_MS, inode_at(s.path) != before && inode_at(s.path) != 0);
    CHECK_STR(ask(&s, "a\n"), "<a>\n\n");
    CHECK_EQ(s.lines, 1);
    kill(grandchild, SIGKILL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    stop(&s);
}

static unsigned open_count(void)
{
    unsigned count = 0;
    for (int fd = 3; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool inode_of(int fd, ino_t *ret)
{
    struct stat file;
    bool there = syscall(SYS_fstat, fd, &file) == 0; /* as the others, unseen */
    *ret = there ? file.st_ino : 0;
    return there;
}

static int live_after_closefrom(struct server *s)
{
    ino_t before[64], after;
    bool there[64];
    char text[DIAL_BYTES];
    unsigned others = open_count();
    if (env_init_real(&s->env, true) != 0 || open_at(s, s->path, 0) != 0)
        return 1;
    while (!dial_ask(s->path, "a\n", text))
        check_pause();
    while (open_count() != others + 4) /* who asked is gone, and nobody else comes */
        check_pause();
    for (int fd = 3; fd < 64; fd++)
        syscall(SYS_close, fd); /* unseen by ThreadSanitizer: it is a race, on purpose */
    for (int fd = 3; fd < 64; fd++) { /* the host's own, under the same numbers */
        int pair[2];
        if (fd % 2 && syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair) == 0)
            syscall(SYS_write, pair[1], "stats\n", 6);
    }
    for (int fd = 3; fd < 64; fd++)
        there[fd] = inode_of(fd, &before[fd]);
    control_close(s->control);
    for (int fd = 3; fd < 64; fd++)
        if (there[fd] && (!inode_of(fd, &after) || after != before[fd]))
            return 2;
    return 0;
}

TEST(what_a_host_opens_under_our_numbers_is_left_alone)
{
    struct server s;
    int status;
    prepare(&s);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(live_after_closefrom(&s));
    REQUIRE_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK_EQ(rmdir(s.folder), 0);
    env_fini(&s.env);
}

/* ---- who may ask ---- */

TEST(another_user_is_refused)
{
    struct server s;
    int status;
    if (geteuid() != 0)
        return; /* nobody can become another one */
    start(&s, 0);
    REQUIRE_EQ(chmod(s.folder, 0755), 0);
    REQUIRE_EQ(chmod(s.path, 0666), 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        char text[DIAL_BYTES];
        bool as_other = setuid(65534) == 0 && dial_ask(s.path, "a\n", text);
        _exit(as_other && strcmp(text, "error: only the user of the process, and root, may ask "
                                       "here\n\n") == 0 ? 0 : 1);
    }
    REQUIRE_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(s.lines, 0);
    stop(&s);
}
