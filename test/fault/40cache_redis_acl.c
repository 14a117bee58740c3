// SPDX-License-Identifier: MIT
// A Redis user with exactly the permissions that README names can do everything, and of these
// each one is needed: without it the log says what is wrong, and no call hangs.

#include <pthread.h>

#include "support/peer.h"

#define WORDS_MAX 48
#define CALL_MS 300    /* the deadline of the calls made without a permission */
#define SLACK_MS 10000 /* of a machine that is busy; without a deadline it would be forever */

/* ---- the line in README ---- */

struct acl {
    char text[2048];
    char *words[WORDS_MAX]; /* what follows ACL SETUSER */
    size_t count;
};

/* Take the quotes away, and the line ends that a shell would not see. */
static void unquote(char *text)
{
    char *to = text;
    for (char *from = text; *from; from++)
        if (*from != '\'' && *from != '\\')
            *to++ = *from;
    *to = '\0';
}

static void acl_read(struct acl *acl)
{
    char line[256];
    size_t len = 0;
    FILE *f = fopen(NIGH_README, "re");
    REQUIRE(f);
    while (fgets(line, sizeof(line), f)) {
        const char *from = len ? line : strstr(line, "redis-cli ACL SETUSER ");
        if (!from)
            continue;
        len += (size_t)snprintf(acl->text + len, sizeof(acl->text) - len, "%s", from);
        REQUIRE(len < sizeof(acl->text));
        if (!strstr(line, "\\\n"))
            break;
    }
    fclose(f);
    unquote(acl->text);
    acl->count = 0;
    char *rest = acl->text, *word;
    while ((word = strtok_r(rest, " \n", &rest))) {
        REQUIRE(acl->count < WORDS_MAX);
        acl->words[acl->count++] = word;
    }
    REQUIRE(acl->count > 20 && strcmp(acl->words[3], "nigh") == 0);
}

/* Make the user, without one of the words (NULL: with all). */
static void acl_set(const struct acl *acl, const struct redis *server, const char *without)
{
    char command[2048] = "";
    size_t len = 0;
    for (size_t i = 1; i < acl->count; i++)
        if (acl->words[i] != without)
            len += (size_t)snprintf(command + len, sizeof(command) - len, "%s ", acl->words[i]);
    char *reply = redis_command(server, command);
    CHECK_STR(reply, "OK");
    free(reply);
    free(redis_command(server, "ACL LOG RESET"));
}

static const char *acl_uri(const struct redis *server, unsigned db, char uri[128])
{
    snprintf(uri, 128, "redis://nigh:PASSWORD@127.0.0.1:%d/%u", server->port, db);
    return uri;
}

/* ---- with all of them ---- */

/* Leaves in Redis what a node of wire version 1 would: a clock of as many groups. */
static void old_clock(const struct redis *server, unsigned groups, const char *position)
{
    free(redis_command(server, "SETRANGE nigh:!:clk %u %b", 16 + 16 * groups - 1, "\0",
                       (size_t)1));
    free(redis_command(server, "SETRANGE nigh:!:clk 0 %s", position));
}

static void change_everything(struct world *a, struct world *b)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct origin *o = &a->origin;
    static const enum nigh_target_kind kinds[] = {NIGH_TARGET_KEY, NIGH_TARGET_TAG,
                                                  NIGH_TARGET_SPACE, NIGH_TARGET_ALL};
    static const char *const names[] = {"k", "tag", NULL, NULL};
    for (int i = 0; i < 4; i++) {
        peers_have(a, b, o, "k");
        origin_commit(o);
        CHECK_EQ(peer_tell(a, kinds[i], names[i]), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(b, o, "k"));
    }
    CHECK_EQ(nigh_put(a->space, "p", 1, "put", 3, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(b, "p", "put"));
    call.version = 1; /* else it only deletes */
    CHECK_EQ(nigh_write(a->space, "p", 1, "written", 7, &call), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(b, "p", "written"));
}

/* A load that outlives its lease by far, while the other node waits for it. */
static void share_a_long_load(struct world *a, struct world *b)
{
    struct asker here, there;
    int64_t held = world_count(b, "lease_held");
    CHECK_EQ(nigh_set(a->cache, "lease.time", "6s"), 0); /* extended every 2 */
    origin_hold(&a->origin);
    asker_start(&here, a->space, "long", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, a->origin.held_loads == 1);
    asker_start(&there, b->space, "long", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(b, "lease_held") > held);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(a, "lease_extended") > 0);
    origin_let_go(&a->origin);
    asker_join(&here);
    asker_join(&there);
    CHECK_EQ(here.answer.outcome, NIGH_FRESH);
    CHECK_EQ(there.answer.outcome, NIGH_FRESH);
}

/* Cache aside: the miss takes a lease, its put fills. */
static void put_what_was_missed(struct world *a)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_miss miss;
    call.miss = &miss;
    CHECK_EQ(ask_get(a->space, "aside", &call).outcome, NIGH_MISS);
    CHECK_EQ(nigh_put(a->space, "aside", 5, "v", 1, &call), 0);
}

static void read_two(struct world *w, const struct nigh_call *call)
{
    struct nigh_key keys[] = {{"one", 3}, {"two", 3}};
    struct nigh_value values[2];
    int outcomes[2];
    CHECK_EQ(nigh_get_many(w->space, keys, 2, call, values, outcomes), 0);
    for (int i = 0; i < 2; i++)
        nigh_release(&values[i]);
}

/* Nodes of version 1 come, see a change, and go. */
static void live_with_old_nodes(const struct redis *server, struct world *a, struct world *b)
{
    old_clock(server, 2048, "12345678");
    CHECK_WITHIN(WORLD_PATIENCE_MS, (peer_tell(a, NIGH_TARGET_KEY, "k"),
                                     peer_exists(server, "nigh:!2:!log")));
    free(redis_command(server, "DEL nigh:!:clk"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, !peer_exists(server, "nigh:!2:!log"));
    peers_have(a, b, &a->origin, "k");
}

/* The clock goes: all floors are read anew. */
static void lose_the_clock(const struct redis *server, struct world *a, struct world *b)
{
    int64_t resyncs = world_count(a, "resync");
    free(redis_command(server, "DEL nigh:!2:!clk"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(a, "resync") > resyncs);
    peers_have(a, b, &a->origin, "k");
}

TEST(the_user_of_the_readme_can_do_everything_and_needs_it_all)
{
    struct acl acl;
    struct redis server;
    struct world a, b, c;
    char uri[128], other[128];
    redis_start_tcp(&server, NULL);
    acl_read(&acl);
    acl_set(&acl, &server, NULL);
    acl_uri(&server, 0, uri);
    peer_open(&a, &(struct peer){.uri = uri}, NULL);
    peer_open(&b, &(struct peer){.uri = uri}, &a.origin);
    peer_open(&c, &(struct peer){.uri = acl_uri(&server, 1, other)}, NULL);
    a.origin.script = peer_tagged;
    CHECK(peer_sees_row(&c, &c.origin, "k"));
    change_everything(&a, &b);
    share_a_long_load(&a, &b);
    put_what_was_missed(&a);
    read_two(&a, NULL);
    live_with_old_nodes(&server, &a, &b);
    lose_the_clock(&server, &a, &b);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "queued") + world_count(&b, "queued") == 0);
    world_close(&a);
    world_close(&b);
    world_close(&c);
    char *denied = redis_command(&server, "ACL LOG");
    CHECK_STR(denied, "");
    free(denied);
    for (size_t i = 0; i < acl.count; i++)
        if (acl.words[i][0] == '+' && !CHECK_GT(peer_commands(&server, acl.words[i] + 1), 0))
            check_note("nothing needs %s", acl.words[i]);
    redis_stop(&server);
}

/* ---- without one of them ---- */

/* Keys: (l) lock */
struct heard {
    pthread_mutex_t lock;
    unsigned count;   /* (l) of what is worth a warning, and about Redis */
    char first[256];  /* (l) */
};

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct heard *h = arg;
    if (level > NIGH_LOG_WARN || !strstr(message, "redis"))
        return;
    if (!strstr(message, "NOPERM") && !strstr(message, "can't run this command") &&
        !strstr(message, "ACL failure")) /* Valkey, in scripts */
        return;
    pthread_mutex_lock(&h->lock);
    if (h->count++ == 0)
        snprintf(h->first, sizeof(h->first), "%s", message);
    pthread_mutex_unlock(&h->lock);
}

static unsigned heard(struct heard *h)
{
    pthread_mutex_lock(&h->lock);
    unsigned count = h->count;
    pthread_mutex_unlock(&h->lock);
    return count;
}

static int slow_load(struct origin *o, struct nigh_fill *fill)
{
    uint64_t end_ms = check_now_ms() + 150; /* more than a lease */
    while (check_now_ms() < end_ms)
        check_pause();
    return origin_answer(o, fill);
}

static void check_timely(uint64_t began_ms, const char *what)
{
    if (!CHECK_LT(check_now_ms() - began_ms, CALL_MS + SLACK_MS))
        check_note("%s", what);
}

/* Every kind of call, once; each comes back in time, whatever it brings. */
static void call_everything(struct world *w, const struct redis *server, unsigned turn)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_miss miss;
    char key[32];
    call.deadline_ms = CALL_MS;
    uint64_t began_ms = check_now_ms();
    int len = snprintf(key, sizeof(key), "held%u", turn); /* as if another node loaded it */
    free(redis_command(server, "SET nigh:!2:!lease:s:%s 0123456789abcdef01234567 PX 100", key));
    int rc = ask_fetch(w->space, key, &call).outcome;
    CHECK(rc >= 0 || (rc == NIGH_ETIMEDOUT && check_now_ms() - began_ms >= CALL_MS));
    check_timely(began_ms, "fetch");
    began_ms = check_now_ms();
    nigh_put(w->space, key, (size_t)len, "v", 1, &call);
    check_timely(began_ms, "put");
    began_ms = check_now_ms();
    nigh_write(w->space, key, (size_t)len, "w", 1, &call);
    check_timely(began_ms, "write");
    began_ms = check_now_ms();
    CHECK_GE(nigh_invalidate(w->space, key, (size_t)len, &call), 0);
    check_timely(began_ms, "invalidate");
    began_ms = check_now_ms();
    read_two(w, &call);
    check_timely(began_ms, "get_many");
    began_ms = check_now_ms();
    snprintf(key, sizeof(key), "aside%u", turn);
    call.miss = &miss;
    ask_get(w->space, key, &call);
    check_timely(began_ms, "get");
}

/* Without it nothing is wrong: it goes without a name, and many keys one by one. */
static bool is_courtesy(const char *word)
{
    return strcmp(word, "+client|setname") == 0 || strcmp(word, "+mget") == 0;
}

static void check_without(const struct acl *acl, const struct redis *server, const char *word)
{
    struct heard h = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct world w;
    struct nigh_options o = node_options(server);
    char uri[128];
    acl_set(acl, server, word);
    free(redis_command(server, "FLUSHALL"));
    free(redis_command(server, "SCRIPT FLUSH"));
    o.redis_uri = acl_uri(server, strcmp(word, "+select") == 0, uri);
    o.lease_ms = 100;
    o.log = hear;
    o.log_arg = &h;
    origin_init(&w.origin);
    w.origin.script = slow_load;
    world_open_with(&w, &o, NULL, &w.origin);
    uint64_t end_ms = check_now_ms() + WORLD_PATIENCE_MS;
    for (unsigned turn = 0; heard(&h) == 0 && check_now_ms() < end_ms; turn++) {
        if (is_courtesy(word) && nigh_health(w.cache) == NIGH_FRESH && turn > 3)
            break;
        if (turn % 4 == 1) /* old nodes come */
            old_clock(server, 2048, "12345678");
        if (turn % 4 == 3) /* and go */
            free(redis_command(server, "DEL nigh:!:clk"));
        call_everything(&w, server, turn);
    }
    if (!CHECK_EQ(heard(&h) > 0, !is_courtesy(word)))
        check_note("without %s: %s", word, h.first);
    uint64_t began_ms = check_now_ms();
    world_close(&w);
    check_timely(began_ms, "close");
}

TEST(a_permission_that_is_missing_is_named)
{
    struct acl acl;
    struct redis server;
    redis_start_tcp(&server, NULL);
    acl_read(&acl);
    for (size_t i = 0; i < acl.count; i++)
        if (strchr("+&~", acl.words[i][0]))
            check_without(&acl, &server, acl.words[i]);
    redis_stop(&server);
}
