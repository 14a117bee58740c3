// SPDX-License-Identifier: MIT
/*
 * Starting and ending programs. Between fork and exec the child calls only what is safe there.
 */
#include "support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

#define PATIENCE_MS 60000

static void run(char *const *argv, char *const *environment, int out)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, STDOUT_FILENO);
    execve(argv[0], argv, environment);
    _exit(127);
}

void program_start(struct program *p, char *const *argv, const char *conf)
{
    extern char **environ;
    int out[2];
    REQUIRE_EQ(setenv("NIGH_CONF", conf, 1), 0);
    REQUIRE_EQ(pipe2(out, O_CLOEXEC), 0);
    p->pid = fork();
    REQUIRE(p->pid >= 0);
    if (p->pid == 0)
        run(argv, environ, out[1]);
    unsetenv("NIGH_CONF");
    close(out[1]);
    p->out = out[0];
}

void program_first_line(struct program *p, char *line, size_t size)
{
    size_t len = 0;
    do {
        struct pollfd fd = {.fd = p->out, .events = POLLIN};
        REQUIRE(len < size && poll(&fd, 1, PATIENCE_MS) == 1);
        REQUIRE_EQ(read(p->out, line + len, 1), 1);
    } while (line[len++] != '\n');
    line[len - 1] = 0;
}

static int reap(struct program *p)
{
    int status;
    REQUIRE_EQ(waitpid(p->pid, &status, 0), p->pid);
    close(p->out);
    p->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int program_stop(struct program *p)
{
    kill(p->pid, SIGTERM);
    return reap(p);
}

void program_kill(struct program *p)
{
    kill(p->pid, SIGKILL);
    reap(p);
}
