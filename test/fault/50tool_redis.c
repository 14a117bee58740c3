// SPDX-License-Identifier: MIT
// The program nigh at Redis alone: who invalidates, looks and watches without a process, and whose
// password that takes; what it prints, and how it ends.

#include <poll.h>
#include <stdlib.h>

#include "cache/cache.h"
#include "support/peer.h"
#include "support/tool.h"

#define MANY_NAMES 32u /* of a change: their frame is small enough to be logged */
#define MANY_CHANGES 160u

TEST(redis_alone_is_enough_to_invalidate_and_to_look)
{
    struct redis server;
    struct world w;
    struct nigh_options o;
    char conf[300];
    redis_start(&server, NULL);
    o = patient_options(&server);
    o.group_slots = 4096; /* the tool finds that out */
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH &&
                                        nigh_stats_value(w.cache, NULL, "listening") == 1);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(tool_run("get --redis %s --space %s k --timeout 60000", server.uri, w.space->name), 0);
    CHECK(tool_says("Redis has it, fresh for ") && tool_says("Redis      3 B"));
    CHECK(!strstr(tool_out, "get now") && !strstr(tool_out, "L1")); /* which is this program's */
    CHECK_EQ(tool_run("get --redis %s --space %s k --raw --timeout 60000", server.uri,
                      w.space->name), 0);
    CHECK(tool_says("k=1"));
    origin_commit(&w.origin);
    CHECK_EQ(tool_run("invalidate --redis %s --space %s k --timeout 60000", server.uri,
                 w.space->name), 0);
    CHECK(tool_says("accepted: 1, heard by 1\n"));
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 strcmp(ask_fetch(w.space, "k", NULL).text, "k=2") == 0);
    CHECK(!strstr(tool_out, "nobody has lately stored")); /* the space is known there */
    CHECK_EQ(tool_run("invalidate --redis %s --space nope k --timeout 60000", server.uri), 0);
    CHECK(tool_says("nobody has lately stored a value of a space nope in Redis"));
    CHECK_EQ(tool_run("get --redis %s --space nope k --timeout 60000", server.uri), 0);
    CHECK(tool_says("nobody has lately stored a value of a space nope in Redis"));
    setenv("NIGH_CONF", "space.schema=7", 1);
    CHECK_EQ(tool_run("get --redis %s --space %s k --timeout 60000", server.uri, w.space->name), 0);
    CHECK(tool_says("there are values of schema 1, this looks for 7"));
    unsetenv("NIGH_CONF");
    int64_t before = nigh_stats_value(w.cache, NULL, "sequence");
    CHECK_EQ(tool_run("invalidate --redis %s --all --timeout 60000", server.uri), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_stats_value(w.cache, NULL, "sequence") > before);
    CHECK_EQ(nigh_put(w.space, "\0x", 2, "of NUL", 6, NULL), 0);
    CHECK_EQ(tool_run("get --redis %s --space %s --escaped --raw '\\x00x' --timeout 60000",
                      server.uri, w.space->name), 0);
    CHECK(tool_says("of NUL"));
    free(redis_command(&server, "SET nigh:!2:%s:1:odd garbage", w.space->name));
    CHECK_EQ(tool_run("get --redis %s --space %s odd --timeout 60000", server.uri, w.space->name),
             0);
    CHECK(tool_says("what Redis has under its name (7 B) is another program's"));
    CHECK_EQ(tool_run("get --redis %s --space %s odd --raw --timeout 60000", server.uri,
                      w.space->name), 1);
    CHECK(tool_says("Redis has no value of it that is of use"));
    free(redis_command(&server, "RPUSH nigh:!2:%s:1:list other", w.space->name));
    CHECK_EQ(tool_run("get --redis %s --space %s list --timeout 60000", server.uri, w.space->name),
             0);
    CHECK(tool_says("(empty, or of another type than a string) is another program's"));
    CHECK_EQ(tool_run("invalidate --redis %s --tag a b --timeout 60000", server.uri), 0);
    CHECK(tool_says("accepted: 2"));
    setenv("NIGH_CONF", "redis.prefix=nigh", 1);
    CHECK_EQ(tool_run("invalidate --redis - --all"), 3);
    CHECK(tool_says("NIGH_CONF has no redis.uri"));
    setenv("NIGH_CONF", "redis.uri=", 1);
    CHECK_EQ(tool_run("get --redis - --space s k"), 3);
    CHECK(tool_says("NIGH_CONF has no redis.uri"));
    snprintf(conf, sizeof(conf), "redis.uri=%s", server.uri);
    setenv("NIGH_CONF", conf, 1);
    CHECK_EQ(tool_run("invalidate --redis - --all --timeout 60000"), 0);
    unsetenv("NIGH_CONF");
    world_close(&w);
    redis_stop(&server);
}

TEST(a_prefix_of_nobody_is_noted_and_left_alone)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    CHECK_EQ(tool_run("invalidate --redis %s --prefix other --all --timeout 60000", server.uri), 1);
    CHECK(tool_says("no node uses the prefix other in this database"));
    CHECK(tool_says("heard by nobody: no node uses the prefix other, and nothing is stored"));
    CHECK_EQ(tool_run("invalidate --redis %s --prefix other --all --timeout 1400", server.uri), 2);
    CHECK(tool_says("that there is none is not known so soon: --timeout is too short"));
    CHECK_EQ(tool_run("get --redis %s --prefix other --space s k --timeout 60000", server.uri), 0);
    CHECK(tool_says("no node uses the prefix other") && tool_says("Redis does not have it"));
    CHECK_EQ(redis_integer(&server, "DBSIZE"), 0); /* who only looks leaves nothing behind */
    o.redis_prefix = "other";
    o.group_slots = 4096; /* not the tool's own */
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    world_close(&w);
    CHECK_EQ(tool_run("invalidate --redis %s --prefix other --all --timeout 60000", server.uri), 1);
    CHECK(tool_says("nobody has ever changed anything under the prefix other"));
    CHECK_EQ(tool_run("invalidate --redis %s --prefix other --all --timeout 60000", server.uri), 1);
    CHECK(tool_says("accepted: 1, heard by 0\n")); /* somebody has changed it, but ... */
    CHECK(tool_says("no process listens under the prefix other in this database"));
    redis_stop(&server);
}

/* ---- a clock that is gone, or from before ---- */

/* Opens a node that asks Redis for nothing for a minute: what it learns before it has been told. */
static void open_quiet(struct world *w, const struct redis *server)
{
    peer_open(w, &(struct peer){.uri = server->uri, .beat_ms = PEER_QUIET_MS}, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_stats_value(w->cache, NULL, "listening") == 1);
    CHECK(peer_sees_row(w, &w->origin, "k"));
    origin_commit(&w->origin); /* what it has is old from here on */
}

static int invalidate_k(const struct redis *server, const struct world *w, unsigned timeout_ms)
{
    return tool_run("invalidate --redis %s --space %s k --timeout %u", server->uri, w->space->name,
                    timeout_ms);
}

TEST(who_has_not_noticed_that_redis_was_emptied_is_told)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    open_quiet(&w, &server);
    free(redis_command(&server, "FLUSHALL"));
    CHECK_EQ(invalidate_k(&server, &w, 60000), 0);
    CHECK(tool_says("accepted: 1, heard by 1\n"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&w, &w.origin, "k"));
    world_close(&w);
    redis_stop(&server);
}

/* As a node that is stopped: somebody listens, and makes no clock. */
TEST(nothing_is_called_done_while_somebody_listens)
{
    static const char subscribe[] = "SUBSCRIBE nigh:!2:!inv:0\r\n";
    struct redis server;
    redis_start(&server, NULL);
    int fd = dial_open(server.socket);
    REQUIRE(fd >= 0 && dial_send(fd, subscribe, strlen(subscribe)));
    CHECK_WITHIN(WORLD_PATIENCE_MS, redis_integer(&server, "PUBLISH nigh:!2:!inv:0 x") == 1);
    CHECK_EQ(tool_run("invalidate --redis %s --all --timeout 3000", server.uri), 2);
    CHECK(tool_says("told to nobody: no node has come to the prefix nigh within the time, and 1 "
                    "listens there: is it a node that is stopped?"));
    CHECK_EQ(redis_integer(&server, "DBSIZE"), 0);
    close(fd);
    redis_stop(&server);
}

/* Nodes of wire version 1 hear nothing of the tool's beats, and there may be some. */
TEST(nothing_is_called_done_where_old_nodes_may_be)
{
    struct redis server;
    redis_start(&server, NULL);
    free(redis_command(&server, "SET nigh:!:clk of-more-than-sixteen-bytes"));
    CHECK_EQ(tool_run("invalidate --redis %s --all --timeout 2500", server.uri), 2);
    CHECK(tool_says("one of wire version 1 may be there"));
    CHECK_EQ(redis_integer(&server, "DBSIZE"), 1);
    redis_stop(&server);
}

/* The tool's change then stands below what the node has applied, in another history. */
TEST(who_has_applied_more_than_redis_knows_is_told)
{
    struct redis server;
    struct world w;
    redis_start(&server, peer_server_args);
    open_quiet(&w, &server);
    redis_save(&server);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(peer_tell(&w, NIGH_TARGET_KEY, "other"), 0);
    free(redis_command(&server, "DEBUG RELOAD NOSAVE"));
    CHECK_EQ(invalidate_k(&server, &w, 60000), 0);
    CHECK(tool_says("accepted: 1, heard by 1\n"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&w, &w.origin, "k"));
    CHECK_EQ(nigh_stats_value(w.cache, NULL, "rewound"), 1);
    world_close(&w);
    redis_stop(&server);
}

/* ---- who listens ---- */

/* Reads lines until one has this in it. */
static void wait_for_line(struct program *p, const char *wanted)
{
    char line[300] = "";
    while (!strstr(line, wanted))
        program_first_line(p, line, sizeof(line));
}

TEST(who_watches_sees_what_others_change)
{
    struct redis server;
    struct world w;
    char uri[200];
    char wanted[100];
    char *argv[] = {NIGH_TOOL, "watch", "--redis", uri, "--timeout", "60000", NULL};
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    snprintf(uri, sizeof(uri), "%s", server.uri);
    snprintf(wanted, sizeof(wanted), " key %s \"a key\"", w.space->name);
    tool_check_hears(w.space, argv, wanted);
    world_close(&w);
    redis_stop(&server);
}

/* Whether Redis has sent all that it had for whoever listens. */
static bool all_is_sent(struct redis *server)
{
    char *list = redis_command(server, "CLIENT LIST TYPE pubsub");
    bool sent = list && strstr(list, " omem=0 ");
    for (const char *at = list; at && (at = strstr(at, " omem=")); at++)
        sent = sent && strncmp(at, " omem=0 ", 8) == 0;
    free(list);
    return sent;
}

/* Invalidates all. Returns whether so many hear of it, the world's own listener among them. */
static bool is_heard_by(struct world *w, int64_t listeners)
{
    struct nigh_target all = {.kind = NIGH_TARGET_ALL};
    return nigh_invalidate_many(w->cache, &all, 1, NULL) == 0 &&
           nigh_stats_value(w->cache, NULL, "listeners") == listeners;
}

static bool prints(const struct program *p)
{
    struct pollfd out = {.fd = p->out, .events = POLLIN};
    return poll(&out, 1, 0) == 1;
}

/* Tells of 5 MiB of names, of which 1 waits. Each change is in the log: whoever hears late, too,
 * hears of it, and not that changes were lost. */
static void change_much(struct world *w)
{
    static char names[MANY_NAMES][NIGH_KEY_MAX];
    struct nigh_target targets[MANY_NAMES];
    for (unsigned i = 0; i < MANY_NAMES; i++) {
        memset(names[i], 'k', sizeof(names[i]));
        targets[i] = (struct nigh_target){.kind = NIGH_TARGET_KEY, .space = w->space,
                                          .name = names[i], .name_len = sizeof(names[i])};
    }
    for (unsigned i = 0; i < MANY_CHANGES; i++)
        CHECK_EQ(nigh_invalidate_many(w->cache, targets, MANY_NAMES, NULL), 0);
}

/* Reads on until this has come, much at a time. */
static void read_until(struct program *p, const char *wanted)
{
    char text[65536];
    for (size_t kept = 0;;) {
        struct pollfd out = {.fd = p->out, .events = POLLIN};
        REQUIRE_EQ(poll(&out, 1, WORLD_PATIENCE_MS), 1);
        ssize_t n = read(p->out, text + kept, sizeof(text) - 1 - kept);
        REQUIRE(n > 0);
        size_t len = kept + (size_t)n;
        text[len] = '\0';
        if (strstr(text, wanted))
            return;
        kept = len < strlen(wanted) ? len : strlen(wanted);
        memmove(text, text + len - kept, kept);
    }
}

/* Redis would cut off whoever does not read, and an orderly close would wait for the terminal. */
TEST(who_watches_hears_on_while_nobody_reads)
{
    struct redis server;
    struct world w;
    struct program p;
    char uri[200];
    char *argv[] = {NIGH_TOOL, "watch", "--redis", uri, "--timeout", "60000", NULL};
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    snprintf(uri, sizeof(uri), "%s", server.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    program_start(&p, argv, "");
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_heard_by(&w, 2) && prints(&p)); /* who listens may be deaf */
    change_much(&w);
    CHECK_WITHIN(WORLD_PATIENCE_MS, all_is_sent(&server));
    read_until(&p, " changes are left out: the output was too slow\n");
    CHECK_EQ(program_stop(&p), 0); /* while a line may be stuck */
    world_close(&w);
    redis_stop(&server);
}

TEST(who_watches_is_told_when_redis_is_not_there)
{
    struct redis server;
    struct world w;
    struct program p;
    char uri[200];
    char *argv[] = {"/bin/sh", "-c", "exec \"$0\" watch --redis \"$1\" --timeout 60000 2>&1",
                    NIGH_TOOL, uri, NULL};
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    struct tool_changer c = {.space = w.space};
    snprintf(uri, sizeof(uri), "%s", server.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    program_start(&p, argv, "");
    REQUIRE_EQ(pthread_create(&c.thread, NULL, tool_change, &c), 0);
    wait_for_line(&p, " key ");
    atomic_store(&c.ends, true);
    pthread_join(c.thread, NULL);
    redis_stop(&server);
    wait_for_line(&p, "Redis cannot be used: connect: ");
    program_stop(&p);
    world_close(&w);
}

/* Bytes that are no UTF-8 came as they are: they drove terminals, and could not be pasted. */
TEST(what_is_watched_moves_no_terminal_and_can_be_pasted)
{
    struct redis server;
    struct world w;
    struct program p;
    char uri[200], line[300];
    char *argv[] = {NIGH_TOOL, "watch", "--redis", uri, "--timeout", "60000", NULL};
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    struct tool_changer c = {.space = w.space,
                             .key = "\xc3\xa4 \xff \xc2\x9b[2J \x9b \xe2\x82\xac \xed\xa0\x80 "
                                    "\xf8\x90\x80\x80 \xc3\"\\\x7f\xe2\x82"};
    snprintf(uri, sizeof(uri), "%s", server.uri);
    setenv("TZ", "LOCAL-5:30", 1); /* its lines are beside those of logs, which are in UTC */
    program_start(&p, argv, "");
    unsetenv("TZ");
    REQUIRE_EQ(pthread_create(&c.thread, NULL, tool_change, &c), 0);
    program_first_line(&p, line, sizeof(line));
    CHECK(tool_is_now(line) && strstr(line, "Z node "));
    atomic_store(&c.ends, true);
    pthread_join(c.thread, NULL);
    const char *key = strchr(line, '"');
    REQUIRE(key);
    CHECK_STR(key, "\"\xc3\xa4 \\xff \\xc2\\x9b[2J \\x9b \xe2\x82\xac \\xed\\xa0\\x80 "
                   "\\xf8\\x90\\x80\\x80 \\xc3\\x22\\x5c\\x7f\\xe2\\x82\"");
    CHECK_EQ(program_stop(&p), 0);
    world_close(&w);
    redis_stop(&server);
}

struct publisher {
    const struct redis *server;
    pthread_t thread;
    _Atomic bool ends;
};

/* Publishes what is no frame until somebody has heard of it. */
static void *publish_words(void *arg)
{
    struct publisher *c = arg;
    while (!atomic_load(&c->ends)) {
        free(redis_command(c->server, "PUBLISH nigh:!2:!inv:0 hello"));
        check_pause();
    }
    return NULL;
}

TEST(who_watches_is_told_of_another_program_on_the_channel)
{
    struct redis server;
    struct world w;
    struct program p;
    char uri[200];
    char *argv[] = {"/bin/sh", "-c", "exec \"$0\" watch --redis \"$1\" --timeout 60000 2>&1",
                    NIGH_TOOL, uri, NULL};
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    struct publisher c = {.server = &server};
    snprintf(uri, sizeof(uri), "%s", server.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    program_start(&p, argv, "");
    REQUIRE_EQ(pthread_create(&c.thread, NULL, publish_words, &c), 0);
    wait_for_line(&p, "publishes on the channel of the prefix nigh: that is left out");
    atomic_store(&c.ends, true);
    pthread_join(c.thread, NULL);
    CHECK_EQ(program_stop(&p), 0);
    world_close(&w);
    redis_stop(&server);
}

/* Reads lines until one has this in it, and none has that. */
static void wait_for_line_without(struct program *p, const char *wanted, const char *unwanted)
{
    char line[300] = "";
    while (!strstr(line, wanted)) {
        program_first_line(p, line, sizeof(line));
        if (!CHECK(!strstr(line, unwanted)))
            check_note("it says: %s", line);
    }
}

TEST(who_watches_may_come_before_the_first_node)
{
    struct redis server;
    struct world w;
    struct program p;
    char uri[200];
    char *argv[] = {"/bin/sh", "-c", "exec \"$0\" watch --redis \"$1\" --timeout 60000 2>&1",
                    NIGH_TOOL, uri, NULL};
    redis_start(&server, NULL);
    snprintf(uri, sizeof(uri), "%s", server.uri);
    program_start(&p, argv, "");
    wait_for_line(&p, "no node uses the prefix nigh");
    struct nigh_options o = patient_options(&server);
    o.group_slots = 4096; /* it finds that out */
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    CHECK_EQ(nigh_invalidate(w.space, "the first", 9, NULL), 0);
    struct tool_changer c = {.space = w.space};
    REQUIRE_EQ(pthread_create(&c.thread, NULL, tool_change, &c), 0);
    wait_for_line_without(&p, "a node uses the prefix nigh now", "Redis is back");
    wait_for_line_without(&p, "changes before this program could hear them: up to ", " key ");
    wait_for_line_without(&p, " key ", "Redis is back");
    atomic_store(&c.ends, true);
    pthread_join(c.thread, NULL);
    CHECK_EQ(program_stop(&p), 0);
    tool_run("watch --redis %s --once --timeout 500", server.uri);
    CHECK(!strstr(tool_out, "Redis is back"));
    world_close(&w);
    redis_stop(&server);
}

TEST(who_watches_needs_no_uri_where_there_is_a_process)
{
    struct redis server;
    struct world w;
    struct tool_place p;
    char wanted[100];
    char *argv[] = {NIGH_TOOL, "watch", "-S", p.path, "--timeout", "60000", NULL};
    redis_start(&server, NULL);
    tool_make_folder(&p);
    tool_open_at(&w, &p, "s", server.uri);
    snprintf(wanted, sizeof(wanted), " key %s \"a key\"", w.space->name);
    tool_check_hears(w.space, argv, wanted);
    world_close(&w);
    rmdir(p.folder);
    redis_stop(&server);
}

TEST(a_password_is_told_to_nobody)
{
    struct world w;
    struct tool_place p;
    tool_make_folder(&p);
    tool_open_at(&w, &p, "s", "redis://me:secret@127.0.0.1:1");
    CHECK_EQ(tool_run("watch -S %s", p.path), 3);
    CHECK(tool_says("logs in with a password, which it does not tell"));
    CHECK(!strstr(tool_out, "secret"));
    setenv("NIGH_CONF", "redis.uri=redis://me:secret@127.0.0.1:2", 1); /* of another one */
    CHECK_EQ(tool_run("watch -S %s", p.path), 3);
    CHECK(tool_says("logs in with a password, which it does not tell"));
    unsetenv("NIGH_CONF");
    world_close(&w);
    rmdir(p.folder);
}

static bool words_hide_it(pid_t pid)
{
    char path[40];
    char words[1000];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "r");
    REQUIRE(file);
    size_t len = fread(words, 1, sizeof(words), file);
    fclose(file);
    return memmem(words, len, "@127.0.0.1:1", 12) && !memmem(words, len, "secret", 6);
}

TEST(a_password_in_the_words_is_not_shown_for_long)
{
    char *argv[] = {NIGH_TOOL, "watch", "--redis", "redis://me:secret@127.0.0.1:1", "--timeout",
                    "60000", NULL};
    struct program p;
    program_start(&p, argv, "");
    CHECK_WITHIN(WORLD_PATIENCE_MS, words_hide_it(p.pid));
    program_kill(&p);
}

TEST(a_password_that_a_process_does_not_tell_is_taken_from_the_environment)
{
    struct redis server;
    struct world w;
    struct tool_place p;
    char uri[300];
    char conf[400];
    char wanted[100];
    char *argv[] = {NIGH_TOOL, "watch", "-S", p.path, "--timeout", "60000", NULL};
    redis_start(&server, NULL);
    free(redis_command(&server, "ACL SETUSER me on >secret ~* &* +@all"));
    snprintf(uri, sizeof(uri), "unix://me:secret@%s", server.uri + strlen("unix://"));
    tool_make_folder(&p);
    tool_open_at(&w, &p, "s", uri);
    snprintf(conf, sizeof(conf), "redis.uri=%s", uri);
    snprintf(wanted, sizeof(wanted), " key %s \"a key\"", w.space->name);
    tool_check_hears_with(w.space, argv, conf, wanted);
    world_close(&w);
    rmdir(p.folder);
    redis_stop(&server);
}

/* It comes again where it was cut off, and knows a position that is not the next. */
static void check_that_it_knows_gaps(struct redis *server, struct world *w, char *const *argv,
                                     const char *wanted)
{
    struct program p;
    struct tool_changer c = {.space = w->space};
    const char frame[96] = {'n', 'f', 2, 0, [44] = 1, [52] = 7}; /* another clock's, of no items */
    program_start(&p, argv, "");
    REQUIRE_EQ(pthread_create(&c.thread, NULL, tool_change, &c), 0);
    wait_for_line(&p, wanted);
    free(redis_command(server, "CLIENT KILL USER ear"));
    wait_for_line(&p, "not connected (");
    wait_for_line(&p, wanted);
    free(redis_command(server, "PUBLISH nigh:!2:!inv:0 %b", frame, sizeof(frame)));
    wait_for_line(&p, "missed some");
    wait_for_line(&p, wanted);
    atomic_store(&c.ends, true);
    pthread_join(c.thread, NULL);
    program_stop(&p);
}

TEST(the_example_in_python_decodes_frames)
{
    struct redis server;
    struct world w;
    char path[200];
    char wanted[100];
    char *argv[] = {"/usr/bin/env", "python3", NIGH_LISTEN_PY, path, NULL};
    if (system("command -v python3 >/dev/null") != 0)
        return; /* nothing to run it */
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    snprintf(path, sizeof(path), "%s", server.uri + strlen("unix://"));
    path[strcspn(path, "?")] = '\0';
    snprintf(wanted, sizeof(wanted), " key %s b'a key'", w.space->name);
    free(redis_command(&server, "ACL SETUSER ear reset on >word +subscribe &nigh:!2:!inv:0"));
    setenv("LISTEN_LOGIN", "ear word", 1);
    check_that_it_knows_gaps(&server, &w, argv, wanted);
    unsetenv("LISTEN_LOGIN");
    world_close(&w);
    redis_stop(&server);
}
