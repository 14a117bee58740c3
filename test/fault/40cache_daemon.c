// SPDX-License-Identifier: MIT
// What a host does that becomes a daemon after it has opened the cache: it closes every descriptor,
// gives up its user, changes its root. Each in a child of its own, which opens the cache itself.

#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/origin.h"

#define NOBODY 65534
#define SLACK_MS 20000 /* of a busy machine */

static void in_child(void (*run)(const struct redis *server), const struct redis *server)
{
    int status;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        unsigned before = check_failed_count();
        run(server);
        _exit(check_failed_count() > before);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static bool is_fresh(struct world *w)
{
    if (nigh_tick(w->cache) == 0) /* does nothing with own threads */
        return false;
    return nigh_health(w->cache) == NIGH_FRESH && world_count(w, "listening") == 1;
}

static void open_node(struct world *w, const struct redis *server, enum nigh_threads threads)
{
    struct nigh_options o = node_options(server);
    o.threads = threads;
    o.log_to = NIGH_LOG_TO_NONE;
    origin_init(&w->origin);
    world_open_with(w, &o, NULL, &w->origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, is_fresh(w)));
}

/* ---- closefrom ---- */

static uint64_t cpu_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* Every call ends in its time. */
static void use(struct world *w, unsigned round)
{
    struct nigh_call call = NIGH_CALL_INIT;
    char key[16];
    call.deadline_ms = 300;
    snprintf(key, sizeof(key), "k%u", round);
    uint64_t began_ms = check_now_ms();
    int rc = ask_fetch(w->space, key, &call).outcome;
    CHECK(rc == NIGH_FRESH || rc == NIGH_STALE || rc == NIGH_ETIMEDOUT);
    rc = nigh_put(w->space, key, strlen(key), "v", 1, &call);
    CHECK(rc == 0 || rc == NIGH_QUEUED);
    rc = nigh_invalidate(w->space, key, strlen(key), &call);
    CHECK(rc == 0 || rc == NIGH_QUEUED);
    rc = ask_get(w->space, key, &call).outcome;
    CHECK(rc >= 0 || rc == NIGH_ETIMEDOUT || rc == NIGH_EOFFLINE);
    CHECK_LT(check_now_ms() - began_ms, 4 * 300 + SLACK_MS);
}

static void close_all(const struct redis *server, enum nigh_threads threads)
{
    struct world w;
    open_node(&w, server, threads);
    closefrom(3);
    uint64_t cpu = cpu_ms(), began_ms = check_now_ms();
    for (unsigned round = 0; round < 10; round++) {
        use(&w, round);
        nigh_tick(w.cache);
        struct timespec rest = {0, 100000000};
        nanosleep(&rest, NULL);
    }
    CHECK_LT(cpu_ms() - cpu, (check_now_ms() - began_ms) / 2);
    /* When trust has run out; and nothing is opened, or closed, anew. */
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (nigh_tick(w.cache), nigh_health(w.cache) == NIGH_EOFFLINE));
    for (int fd = 3; fd < 64; fd++)
        CHECK_EQ(dup2(2, fd), fd);
    use(&w, 10);
    began_ms = check_now_ms();
    world_close(&w);
    CHECK_LT(check_now_ms() - began_ms, SLACK_MS);
    for (int fd = 3; fd < 64; fd++)
        CHECK_GE(fcntl(fd, F_GETFD), 0); /* they are the host's */
}

static void close_all_own(const struct redis *server)
{
    close_all(server, NIGH_THREADS_OWN);
}

static void close_all_none(const struct redis *server)
{
    close_all(server, NIGH_THREADS_NONE);
}

TEST(a_daemon_closes_every_descriptor)
{
    struct redis server;
    redis_start(&server, NULL);
    in_child(close_all_own, &server);
    in_child(close_all_none, &server);
    redis_stop(&server);
}

/* Nothing is lost with them, and it is said all the same. */
static void close_all_unconnected(const struct redis *server)
{
    static const char why[] = "\"redis_problem\": \"somebody has closed its descriptor: ";
    char json[32768] = "";
    struct world w;
    open_node(&w, server, NIGH_THREADS_OWN);
    REQUIRE_EQ(kill(server->pid, SIGKILL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "connected") == 0);
    closefrom(3);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_stats(w.cache, NIGH_STATS_JSON, json, sizeof(json)),
                                     strstr(json, why) != NULL));
    world_close(&w);
}

TEST(a_daemon_without_redis_closes_every_descriptor)
{
    struct redis server;
    redis_start(&server, NULL);
    in_child(close_all_unconnected, &server);
    redis_stop(&server);
}

/* ---- another user, another root ---- */

static void cut(const struct redis *server)
{
    free(redis_command(server, "CLIENT KILL TYPE normal"));
    free(redis_command(server, "CLIENT KILL TYPE pubsub"));
}

static bool is_back(struct world *w, int64_t connects)
{
    return is_fresh(w) && world_count(w, "l2_connect") > connects;
}

static void become_nobody(const struct redis *server)
{
    struct world w;
    open_node(&w, server, NIGH_THREADS_OWN);
    int64_t connects = world_count(&w, "l2_connect");
    REQUIRE_EQ(setgid(NOBODY), 0);
    REQUIRE_EQ(setuid(NOBODY), 0);
    cut(server); /* by a connection of our own: as nobody */
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_back(&w, connects));
    world_close(&w);
}

static bool is_root(void)
{
    if (geteuid() != 0)
        check_note("not root: nothing to give up");
    return geteuid() == 0;
}

/* The socket's own mode decides, and those of the folders above it: one for temporary files may be
 * its user's alone. Returns what its mode was. */
static mode_t open_way(const struct redis *server, const char *parent)
{
    struct stat folder;
    REQUIRE_EQ(stat(parent, &folder), 0);
    REQUIRE_EQ(chmod(parent, folder.st_mode | S_IXGRP | S_IXOTH), 0);
    REQUIRE_EQ(chmod(server->dir, 0755), 0);
    REQUIRE_EQ(chmod(server->socket, 0777), 0);
    return folder.st_mode;
}

TEST(a_daemon_gives_up_its_user)
{
    struct redis server;
    char parent[sizeof(server.dir)];
    if (!is_root())
        return;
    redis_start(&server, NULL);
    snprintf(parent, sizeof(parent), "%s", server.dir);
    mode_t mode = open_way(&server, dirname(parent));
    in_child(become_nobody, &server);
    CHECK_EQ(chmod(dirname(strcpy(parent, server.dir)), mode), 0);
    redis_stop(&server);
}

/* The socket's path is looked up inside, at each connection. */
static void change_root(const struct redis *server)
{
    struct world w;
    char command[600], root[100];
    snprintf(root, sizeof(root), "%s/root", server->dir);
    snprintf(command, sizeof(command), "mkdir -p %s%s && ln %s %s%s", root, server->dir,
             server->socket, root, server->socket);
    REQUIRE_EQ(system(command), 0);
    open_node(&w, server, NIGH_THREADS_OWN);
    int64_t connects = world_count(&w, "l2_connect");
    REQUIRE_EQ(chroot(root), 0);
    REQUIRE_EQ(chdir("/"), 0);
    cut(server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_back(&w, connects));
    REQUIRE_EQ(unlink(server->socket), 0);
    struct origin *origin = &w.origin;
    /* What is connected stays so. */
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_FRESH);
    CHECK_EQ(origin->loads, 1);
    world_close(&w);
}

TEST(a_daemon_changes_its_root)
{
    struct redis server;
    if (!is_root())
        return;
    redis_start(&server, NULL);
    in_child(change_root, &server);
    redis_stop(&server);
}
