// SPDX-License-Identifier: MIT
/*
 * How a command ends by a signal: once, whatever else it would have ended by.
 */
#include "support/ending.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"
#include "support/fail.h"

/* Says that it has undone something, in two parts: a second one between them would show. */
static void undo_slowly(void)
{
    fputs("[", stderr);
    sleep_ns(100 * PERF_NS_PER_MS);
    fputs("]", stderr);
}

static int status_of(void (*run)(void), char *ret_said, size_t size)
{
    int ends[2], status = 0;
    size_t len = 0;
    ssize_t got;
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        signal(SIGINT, SIG_DFL); /* ignored, it would stay so: a shell's background has it so */
        signal(SIGTERM, SIG_DFL);
        ending_catch();
        ending_add(undo_slowly);
        run();
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], ret_said + len, size - 1 - len)) > 0)
        len += (size_t)got;
    ret_said[len] = '\0';
    close(ends[0]);
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* As after a wait that the signal has interrupted, or for a child that it has ended, too. */
static void fail_after_signal(void)
{
    raise(SIGINT);
    fail("a case was not measured");
}

static void fail_alone(void)
{
    fail("no memory");
}

static void leave_after_signal(void)
{
    raise(SIGTERM);
    exit(0);
}

TEST(what_fails_after_a_signal_is_not_said_and_is_not_how_it_ended)
{
    char said[4096];
    CHECK(status_of(fail_after_signal, said, sizeof(said)) == ENDING_STATUS);
    CHECK(strstr(said, "perf: stopped"));
    CHECK(!strstr(said, "a case was not measured"));
    CHECK(strstr(said, "[]") && strstr(said, "[") == strrchr(said, '['));
}

TEST(what_is_undone_is_undone_once_whoever_ends_first)
{
    char said[4096];
    status_of(leave_after_signal, said, sizeof(said));
    CHECK(strstr(said, "[]") && strstr(said, "[") == strrchr(said, '['));
    CHECK(status_of(fail_alone, said, sizeof(said)) == PERF_EXIT_BROKEN);
    CHECK(strcmp(said, "perf: no memory\n[]") == 0);
}
