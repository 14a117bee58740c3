// SPDX-License-Identifier: MIT
// Node processes (nodes.h): fork, two pipes, lines with deadlines.
//
// Which programs they are the environment says: UPGRADE_OLD_NODE and UPGRADE_NEW_NODE (run.sh).

#include "upgrade/nodes.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define ANSWER_MS 30000 /* of a call whose own deadlines are shorter: a node that hangs */

void site_open(struct site *s, struct redis *server, const char *prefix)
{
    *s = (struct site){.server = server};
    snprintf(s->prefix, sizeof(s->prefix), "%s", prefix);
    snprintf(s->origin_path, sizeof(s->origin_path), "%s/%s.origin", server->dir, prefix);
    s->origin = origin_file_map(s->origin_path);
    REQUIRE(s->origin != NULL);
}

void site_commit(struct site *s, unsigned row, uint64_t number)
{
    REQUIRE(row < ORIGIN_ROWS);
    atomic_store(&s->origin->rows[row], number);
}

/* In the child. */
static void become(char *const argv[], int in, int out, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    execv(argv[0], argv);
    _exit(127);
}

void node_open(struct node *n, struct site *s, enum build build, const char *schema)
{
    int in[2], out[2];
    char *program = getenv(build == BUILD_OLD ? "UPGRADE_OLD_NODE" : "UPGRADE_NEW_NODE");
    *n = (struct node){.build = build};
    REQUIRE(program != NULL);
    snprintf(n->log_path, sizeof(n->log_path), "%s/%s.%s.%u", s->server->dir, s->prefix,
             build == BUILD_OLD ? "old" : "new", s->nodes++);
    char name[16];
    snprintf(name, sizeof(name), "%s", schema);
    char *which = build == BUILD_OLD ? "0" : "1";
    char *argv[] = {program, s->server->uri, s->prefix,   name,
                    which,   s->origin_path, n->log_path, NULL};
    REQUIRE(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    pid_t parent = getpid();
    n->pid = fork();
    REQUIRE(n->pid >= 0);
    if (n->pid == 0)
        become(argv, in[0], out[1], parent);
    close(in[0]);
    close(out[1]);
    signal(SIGPIPE, SIG_IGN); /* a node that has died is seen by its silence */
    n->to = fdopen(in[1], "w");
    n->from = fdopen(out[0], "r");
    REQUIRE(n->to && n->from);
    setvbuf(n->to, NULL, _IOLBF, 512);
    setvbuf(n->from, NULL, _IONBF, 0); /* so that poll() sees all that is there */
}

struct said node_ask(struct node *n, const char *format, ...)
{
    struct pollfd fd = {.fd = fileno(n->from), .events = POLLIN};
    struct said said = {-1, 0};
    unsigned long long number = 0;
    char text[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(n->to, "%s\n", text);
    int ready;
    while ((ready = poll(&fd, 1, ANSWER_MS)) < 0 && errno == EINTR)
        continue;
    char line[128];
    bool answered = ready == 1 && fgets(line, sizeof(line), n->from) &&
                    sscanf(line, "%lld %llu", &said.outcome, &number) == 2;
    if (!answered)
        check_note("%s does not answer \"%s\"", n->log_path, text);
    REQUIRE(answered);
    said.number = number;
    return said;
}

unsigned node_logged(const struct node *n, const char *text)
{
    char line[512];
    unsigned count = 0;
    FILE *log = fopen(n->log_path, "re");
    while (log && fgets(line, sizeof(line), log))
        count += strstr(line, text) != NULL;
    if (log)
        fclose(log);
    return count;
}

static void let_go(struct node *n)
{
    if (n->to)
        fclose(n->to);
    n->to = NULL;
}

static void reap(struct node *n)
{
    int status;
    REQUIRE_EQ(waitpid(n->pid, &status, 0), n->pid);
    fclose(n->from);
    n->pid = 0;
    n->from = NULL;
}

static bool has_ended(const struct node *n)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)n->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

void node_close(struct node *n)
{
    if (n->pid == 0)
        return;
    let_go(n);
    CHECK_WITHIN(ANSWER_MS, has_ended(n));
    node_kill(n);
}

void node_kill(struct node *n)
{
    if (n->pid == 0)
        return;
    kill(n->pid, SIGKILL);
    let_go(n);
    reap(n);
}
