// SPDX-License-Identifier: MIT
// Passwords that change while the cache is open: from a file and from the host, under load, with
// files that are not what they should be. No call fails, and no password is told to anybody.

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/peer.h"

#define TEXT_BYTES 65536
#define SECRET "s3cret" /* each password begins with this, and nothing else does */

/* Keys: (l) lock */
struct vault {
    struct redis server;
    struct world w;
    char uri[128];
    char file[128];
    pthread_mutex_t lock;
    char log[TEXT_BYTES]; /* (l) all that was logged */
    char password[64];    /* (l) what the host's function says; "": it has none */
    _Atomic bool stands;  /* it does not return ... */
    _Atomic int inside;   /* ... so many calls of it */
    pthread_t opener;
    _Atomic int threads;  /* calls of it on another thread than the opener's */
    _Atomic bool mute;    /* it returns 0, and has written nothing */
};

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct vault *v = arg;
    (void)level;
    pthread_mutex_lock(&v->lock);
    size_t len = strlen(v->log);
    snprintf(v->log + len, sizeof(v->log) - len, "%s\n", message);
    pthread_mutex_unlock(&v->lock);
}

static unsigned said(struct vault *v, const char *words)
{
    unsigned count = 0;
    pthread_mutex_lock(&v->lock);
    for (const char *at = v->log; (at = strstr(at, words)); at++)
        count++;
    pthread_mutex_unlock(&v->lock);
    return count;
}

/* As a vault's client may, which parses and decrypts. */
static void use_stack(void)
{
    volatile char room[1u << 20];
    for (size_t i = sizeof(room); i > 0; i -= 1024) /* each page: what lies behind may be there */
        room[i - 1] = 1;
}

static int say_password(void *arg, char *password, size_t size)
{
    struct vault *v = arg;
    use_stack();
    v->inside++;
    v->threads += !pthread_equal(pthread_self(), v->opener);
    while (v->stands)
        check_pause();
    pthread_mutex_lock(&v->lock);
    snprintf(password, size, "%s", v->mute ? "" : v->password);
    pthread_mutex_unlock(&v->lock);
    int got = v->mute || password[0] ? 0 : -1;
    v->inside--;
    return got;
}

static void set_password(struct vault *v, const char *password)
{
    pthread_mutex_lock(&v->lock);
    snprintf(v->password, sizeof(v->password), "%s", password);
    pthread_mutex_unlock(&v->lock);
}

/* ---- files ---- */

static void write_at(const char *path, const char *text)
{
    FILE *out = fopen(path, "we");
    REQUIRE(out && fputs(text, out) >= 0 && fclose(out) == 0);
}

/* As it should be done: whole, then renamed. */
static void replace_file(struct vault *v, const char *text)
{
    char aside[140];
    snprintf(aside, sizeof(aside), "%s.new", v->file);
    write_at(aside, text);
    REQUIRE(rename(aside, v->file) == 0);
}

/* ---- the server's user ---- */

/* `words`: what ACL SETUSER changes. */
static void set_user(struct vault *v, const char *words)
{
    char command[256];
    snprintf(command, sizeof(command), "ACL SETUSER nigh %s", words);
    char *reply = redis_command(&v->server, command);
    CHECK_STR(reply, "OK");
    free(reply);
}

static void prepare_with(struct vault *v, char *const *args)
{
    memset(v, 0, sizeof(*v));
    pthread_mutex_init(&v->lock, NULL);
    redis_start_tcp(&v->server, args);
    set_user(v, "on >" SECRET "1 ~* &* +@all");
    snprintf(v->uri, sizeof(v->uri), "redis://nigh@127.0.0.1:%d", v->server.port);
    snprintf(v->file, sizeof(v->file), "%s/password", v->server.dir);
    write_at(v->file, SECRET "1\n");
}

static void prepare(struct vault *v)
{
    prepare_with(v, NULL);
}

static void open_world(struct vault *v, bool from_file, enum nigh_threads threads)
{
    struct nigh_options o = patient_options(&v->server);
    o.redis_uri = v->uri;
    if (from_file)
        o.redis_password_file = v->file;
    else
        o.redis_password = say_password, o.redis_password_arg = v;
    o.threads = threads;
    v->opener = pthread_self();
    o.log = hear;
    o.log_arg = v;
    origin_init(&v->w.origin);
    world_open_with(&v->w, &o, NULL, &v->w.origin);
}

static bool is_ready(struct vault *v)
{
    if (v->w.cache)
        nigh_tick(v->w.cache);
    return nigh_health(v->w.cache) == NIGH_FRESH;
}

static int64_t count(struct vault *v, const char *name)
{
    return world_count(&v->w, name);
}

/* Nothing that anybody can ask for, and no message, has a password in it. */
static void check_discreet(struct vault *v)
{
    static char text[TEXT_BYTES];
    CHECK_EQ(said(v, SECRET), 0);
    for (int format = NIGH_STATS_TEXT; format <= NIGH_STATS_PROMETHEUS; format++) {
        nigh_stats(v->w.cache, (enum nigh_stats_format)format, text, sizeof(text));
        CHECK(!strstr(text, SECRET));
    }
    nigh_explain(v->w.space, "k", 1, NIGH_STATS_TEXT, text, sizeof(text));
    CHECK(!strstr(text, SECRET));
    CHECK(!strstr(nigh_options_error(), SECRET));
}

/* Opens a cache that has the password from the file, and has logged in. */
static void begin(struct vault *v)
{
    prepare(v);
    open_world(v, true, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_ready(v));
}

static void close_world(struct vault *v)
{
    check_discreet(v);
    world_close(&v->w);
    CHECK_EQ(said(v, SECRET), 0);
}

static void dispose(struct vault *v)
{
    redis_stop(&v->server);
    pthread_mutex_destroy(&v->lock);
}

static void finish(struct vault *v)
{
    close_world(v);
    dispose(v);
}

static bool has_stats(struct vault *v, const char *words)
{
    static char text[TEXT_BYTES];
    nigh_stats(v->w.cache, NIGH_STATS_TEXT, text, sizeof(text));
    return strstr(text, words) != NULL;
}

/* ---- load ---- */

struct load {
    struct vault *v;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint64_t calls;
    _Atomic uint64_t failed;
    _Atomic int why;
};

static void *call_on(void *arg)
{
    struct load *l = arg;
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS; /* a busy machine is no failure */
    for (uint64_t i = 0; !l->stop; i++) {
        char key[16];
        int len = snprintf(key, sizeof(key), "k%u", (unsigned)(i % 50));
        int rc = i % 2 ? nigh_invalidate(l->v->w.space, key, (size_t)len, &call)
                       : nigh_put(l->v->w.space, key, (size_t)len, "v", 1, &call);
        if (rc != 0) {
            l->why = rc;
            l->failed++;
        }
        l->calls++;
    }
    return NULL;
}

static void load_start(struct load *l, struct vault *v)
{
    *l = (struct load){.v = v};
    REQUIRE_EQ(pthread_create(&l->thread, NULL, call_on, l), 0);
}

static void load_stop(struct load *l)
{
    l->stop = true;
    pthread_join(l->thread, NULL);
    if (!CHECK_EQ(l->failed, 0))
        check_note("%d, of %llu", l->why, (unsigned long long)l->calls);
    CHECK_GT(l->calls, 0);
}

/* Rotates as one should: the server knows both for a while. `tell` hands the new one over. */
static void rotate(struct vault *v, void (*tell)(struct vault *v, const char *password))
{
    struct load loads[4]; /* so that AUTH goes among others' requests */
    for (int i = 0; i < 4; i++)
        load_start(&loads[i], v);
    for (int i = 2; i < 5; i++) {
        char words[64], password[32];
        int64_t listens = count(v, "listener_connect");
        snprintf(words, sizeof(words), ">" SECRET "%d", i);
        set_user(v, words);
        snprintf(password, sizeof(password), SECRET "%d", i);
        tell(v, password);
        CHECK_WITHIN(WORLD_PATIENCE_MS, count(v, "listener_connect") > listens);
        snprintf(words, sizeof(words), "<" SECRET "%d", i - 1);
        set_user(v, words);
    }
    for (int i = 0; i < 4; i++)
        load_stop(&loads[i]);
    CHECK_EQ(count(v, "l2_connect"), 1); /* on the same connection all the time */
    CHECK_EQ(count(v, "trust_lost"), 0);
    CHECK_EQ(count(v, "l2_lost"), 0);
    /* New connections use the new one: the old ones are not taken any more. */
    free(redis_command(&v->server, "CLIENT KILL USER nigh"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(v, "l2_connect") > 1 && is_ready(v));
    CHECK_EQ(said(v, "WRONGPASS"), 0);
}

TEST(a_password_in_a_file_rotates_and_no_call_fails)
{
    struct vault v;
    begin(&v);
    rotate(&v, replace_file);
    finish(&v);
}

TEST(a_password_of_the_hosts_rotates_and_no_call_fails)
{
    struct vault v;
    prepare(&v);
    set_password(&v, SECRET "1");
    open_world(&v, false, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_ready(&v));
    rotate(&v, set_password);
    set_password(&v, "");
    CHECK_WITHIN(WORLD_PATIENCE_MS, said(&v, "redis_password (the host's function): it has none"));
    CHECK_EQ(nigh_put(v.w.space, "k", 1, "v", 1, NULL), 0);
    finish(&v);
}

static void rotate_without_threads(bool from_file)
{
    struct vault v;
    prepare(&v);
    set_password(&v, SECRET "1");
    open_world(&v, from_file, NIGH_THREADS_NONE);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_ready(&v));
    set_user(&v, ">" SECRET "2");
    (from_file ? replace_file : set_password)(&v, SECRET "2");
    CHECK_WITHIN(WORLD_PATIENCE_MS, (is_ready(&v), said(&v, "has taken another password") == 1));
    CHECK_EQ(v.threads, 0);
    finish(&v);
}

TEST(a_file_rotates_without_own_threads)
{
    rotate_without_threads(true);
}

/* It is called on the host's, and no other is started for it. */
TEST(a_password_of_the_hosts_rotates_without_own_threads)
{
    rotate_without_threads(false);
}

static void goes_on(struct vault *v)
{
    int64_t before = count(v, "l2_connect");
    CHECK_EQ(nigh_put(v->w.space, "k", 1, "v", 1, NULL), 0);
    free(redis_command(&v->server, "CLIENT KILL USER nigh"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(v, "l2_connect") > before && is_ready(v));
}

/* An editor of another system ends the line in its way. */
TEST(the_end_of_the_line_is_not_of_the_password)
{
    struct vault v;
    begin(&v);
    set_user(&v, "resetpass >" SECRET "2");
    replace_file(&v, SECRET "2\r\n");
    CHECK_WITHIN(WORLD_PATIENCE_MS, said(&v, "has taken another password") == 1);
    finish(&v);
}

/* Whether requests are answered within a call of it that stands. */
static bool requests_pass(struct vault *v)
{
    struct nigh_call call = NIGH_CALL_INIT;
    bool pass = true;
    call.deadline_ms = 300; /* it would be waited for for a second */
    v->stands = true;
    CHECK_WITHIN(WORLD_PATIENCE_MS, v->inside == 1);
    for (int i = 0; i < 5 && pass; i++)
        pass = nigh_put(v->w.space, "x", 1, "v", 1, &call) == 0;
    v->stands = false;
    CHECK_WITHIN(WORLD_PATIENCE_MS, v->inside == 0);
    return pass;
}

/* It must not; but requests go on, and new connections with the password before. */
TEST(a_function_of_the_hosts_that_stands_still_costs_no_request)
{
    struct vault v;
    prepare(&v);
    set_password(&v, SECRET "1");
    open_world(&v, false, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_ready(&v));
    CHECK_WITHIN(WORLD_PATIENCE_MS, requests_pass(&v)); /* again where the machine stalls */
    v.stands = true;
    CHECK_WITHIN(WORLD_PATIENCE_MS, v.inside == 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (CHECK_EQ(nigh_put(v.w.space, "x", 1, "v", 1, NULL), 0),
                                     said(&v, "it has not returned") == 1));
    CHECK_EQ(count(&v, "l2_connect"), 1);
    goes_on(&v);
    set_user(&v, ">" SECRET "2");
    set_password(&v, SECRET "2");
    v.stands = false;
    CHECK_WITHIN(WORLD_PATIENCE_MS, said(&v, "has taken another password") == 1);
    v.mute = true;
    CHECK_WITHIN(WORLD_PATIENCE_MS, has_stats(&v, "it is empty"));
    goes_on(&v);
    finish(&v);
}

TEST(closing_leaves_a_function_of_the_hosts_that_never_returns)
{
    struct vault v;
    prepare(&v);
    set_password(&v, SECRET "1");
    open_world(&v, false, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_ready(&v));
    v.stands = true;
    CHECK_WITHIN(WORLD_PATIENCE_MS, v.inside == 1);
    close_world(&v); /* returns */
    CHECK_EQ(said(&v, "closed while the host's redis_password has not returned"), 1);
    CHECK_EQ(v.inside, 1);
    v.stands = false;
    CHECK_WITHIN(WORLD_PATIENCE_MS, v.inside == 0);
    dispose(&v);
}

/* ---- files that are not what they should be ---- */

struct badness {
    void (*spoil)(const char *path);
    const char *words;
};

static void empty_it(const char *path)
{
    write_at(path, "");
}

static void remove_it(const char *path)
{
    REQUIRE(unlink(path) == 0);
}

static void write_much(const char *path)
{
    char text[600];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    write_at(path, text);
}

static void write_two_lines(const char *path)
{
    write_at(path, SECRET "1\nsecond line\n");
}

static void make_folder(const char *path)
{
    REQUIRE(unlink(path) == 0 && mkdir(path, 0700) == 0);
}

static void make_loop(const char *path)
{
    REQUIRE(unlink(path) == 0 && symlink(path, path) == 0);
}

static void make_fifo(const char *path) /* nobody waits at its end */
{
    REQUIRE(unlink(path) == 0 && mkfifo(path, 0600) == 0);
}

static const struct badness bad[] = {
    {empty_it, "it is empty"},
    {remove_it, "No such file"},
    {write_much, "it is too long"},
    {write_two_lines, "it is not one line of text"},
    {make_folder, "Is a directory"},
    {make_loop, "Too many levels of symbolic links"},
    {make_fifo, "it is empty"},
};
#define BAD_COUNT (sizeof(bad) / sizeof(bad[0]))

/* Opens one more cache at the same server, with a file of its own. */
static void begin_beside(struct vault *v, const struct vault *first, size_t number)
{
    memset(v, 0, sizeof(*v));
    pthread_mutex_init(&v->lock, NULL);
    v->server = first->server;
    strcpy(v->uri, first->uri);
    snprintf(v->file, sizeof(v->file), "%s/password%zu", v->server.dir, number);
    write_at(v->file, SECRET "1\n");
    open_world(v, true, NIGH_THREADS_OWN);
}

/* Connects all of them anew: with the password from before. */
static void all_go_on(struct vault *of)
{
    int64_t before[BAD_COUNT];
    for (size_t i = 0; i < BAD_COUNT; i++) {
        before[i] = count(&of[i], "l2_connect");
        CHECK_EQ(nigh_put(of[i].w.space, "k", 1, "v", 1, NULL), 0);
    }
    free(redis_command(&of->server, "CLIENT KILL USER nigh"));
    for (size_t i = 0; i < BAD_COUNT; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     count(&of[i], "l2_connect") > before[i] && is_ready(&of[i]));
}

/* Spoils files at the same time, for each is looked at once a second. */
static void spoil(struct vault *of, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        bad[i].spoil(of[i].file);
    for (size_t i = from; i < to; i++)
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, has_stats(&of[i], bad[i].words)))
            check_note("%s", bad[i].words);
}

/* Each is told of once, in the log, which has one such line a second, and in the statistics. */
TEST(a_bad_file_is_told_of_and_the_old_password_goes_on)
{
    static struct vault of[BAD_COUNT];
    prepare(&of[0]);
    open_world(&of[0], true, NIGH_THREADS_OWN);
    for (size_t i = 1; i < BAD_COUNT; i++)
        begin_beside(&of[i], &of[0], i);
    for (size_t i = 0; i < BAD_COUNT; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, is_ready(&of[i]));
    spoil(of, 0, 2);
    for (size_t i = 0; i < 2; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, said(&of[i], bad[i].words) == 1);
    spoil(of, 2, BAD_COUNT);
    all_go_on(of);
    for (size_t i = 0; i < BAD_COUNT; i++) {
        CHECK_LE(said(&of[i], bad[i].words), 1);
        REQUIRE(remove(of[i].file) == 0 || errno == ENOENT);
        write_at(of[i].file, SECRET "1");
    }
    for (size_t i = 0; i < BAD_COUNT; i++)
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, !has_stats(&of[i], "password_file")))
            check_note("%s", bad[i].words);
    for (size_t i = 1; i < BAD_COUNT; i++) {
        close_world(&of[i]);
        pthread_mutex_destroy(&of[i].lock);
    }
    finish(&of[0]);
}

/* Half of it is there for some seconds: a password that the server refuses, which is said once. */
TEST(a_file_that_is_half_written_costs_nothing)
{
    struct vault v;
    begin(&v);
    set_user(&v, ">" SECRET "22");
    write_at(v.file, SECRET "2");
    CHECK_WITHIN(WORLD_PATIENCE_MS, said(&v, "refuses the new password, the one before it goes on: "
                                             "WRONGPASS") == 1);
    goes_on(&v); /* a new connection tries both */
    CHECK_EQ(said(&v, "is not connected: AUTH"), 0);
    write_at(v.file, SECRET "22");
    CHECK_WITHIN(WORLD_PATIENCE_MS, said(&v, "has taken another password") == 1);
    CHECK_EQ(said(&v, "refuses the new password"), 1);
    finish(&v);
}

/* The server is changed first, and knows the new one only. */
TEST(a_login_that_is_refused_is_named_once_and_mended_by_the_file)
{
    struct vault v;
    begin(&v);
    set_user(&v, "resetpass >" SECRET "2");
    free(redis_command(&v.server, "CLIENT KILL USER nigh"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(&v, "l2_connect_failed") > 2);
    CHECK_WITHIN(WORLD_PATIENCE_MS, said(&v, "is not connected: AUTH: WRONGPASS") == 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, has_stats(&v, "AUTH: WRONGPASS"));
    replace_file(&v, SECRET "2");
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_ready(&v));
    finish(&v);
}

/* A server that does not know AUTH repeats what it was sent with. */
TEST(a_server_that_repeats_the_password_is_not_quoted)
{
    static char *const args[] = {"--rename-command", "AUTH", "LOGIN", NULL};
    struct vault v;
    prepare_with(&v, args);
    open_world(&v, true, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, said(&v, "is not connected: AUTH (renamed, or a proxy?): ERR "
                                             "unknown command") == 1);
    CHECK(has_stats(&v, "AUTH (renamed, or a proxy?): ERR unknown command"));
    finish(&v);
}

TEST(what_does_not_fit_together_is_refused)
{
    struct vault v;
    struct nigh *cache;
    prepare(&v);
    struct nigh_options o = node_options(&v.server);
    char uri[128];
    o.redis_uri = v.uri;
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EURI); /* a user without a password */
    snprintf(uri, sizeof(uri), "redis://nigh:" SECRET "1@127.0.0.1:%d", v.server.port);
    o.redis_uri = uri;
    o.redis_password_file = v.file;
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EURI);
    CHECK(strstr(nigh_options_error(), "one place"));
    o.redis_password_file = NULL;
    o.redis_sentinel_user = "ann";
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EOPTION);
    CHECK(strstr(nigh_options_error(), "redis.sentinel_user"));
    CHECK(!strstr(nigh_options_error(), SECRET));
    redis_stop(&v.server);
}
