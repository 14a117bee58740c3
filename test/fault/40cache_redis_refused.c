// SPDX-License-Identifier: MIT
// A Redis that is there and refuses: its memory is full, its disk fails, a script runs for long, it
// wants replicas, a right is gone. Of each people are told what it refuses, in its own words, since
// when, and what goes on; the log has a line for the beginning and one for the end; and all that
// waited is delivered by itself.

#include <sys/stat.h>

#include "cache/cache.h"
#include "support/dial.h"
#include "support/ear.h"
#include "support/peer.h"

/* ---- a node, its server, and its control socket ---- */

struct scene {
    struct redis server;
    struct world w;
    char folder[40];
    char path[60];
    unsigned misses;
};

static void pass_ms(uint64_t ms)
{
    uint64_t now_ms = check_now_ms();
    while (check_now_ms() - now_ms < ms)
        check_pause();
}

static void scene_begin(struct scene *s, const char *uri, struct nigh_options o)
{
    strcpy(s->folder, "/tmp/nigh-refused-XXXXXX");
    REQUIRE(mkdtemp(s->folder));
    snprintf(s->path, sizeof(s->path), "%s/s", s->folder);
    s->misses = 0;
    forget_said();
    pass_ms(1100); /* what the case before has said may be said again */
    o.redis_uri = uri;
    o.control_socket = s->path;
    o.log = hear;
    origin_init(&s->w.origin);
    world_open_with(&s->w, &o, NULL, &s->w.origin);
    int fd = -1;
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, (fd = dial_open(s->path)) >= 0)); /* it listens */
    close(fd);
}

/* `trust_ms`: short where the case waits for its end. */
static void scene_open_at(struct scene *s, const char *uri, uint32_t trust_ms)
{
    struct nigh_options o = patient_options(&s->server);
    o.trust_ms = trust_ms;
    scene_begin(s, uri, o);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(s->w.cache) == NIGH_FRESH);
}

static void scene_open(struct scene *s, char *const *args, uint32_t trust_ms)
{
    redis_start(&s->server, args);
    scene_open_at(s, s->server.uri, trust_ms);
}

static void scene_close(struct scene *s)
{
    world_close(&s->w);
    CHECK_EQ(rmdir(s->folder), 0);
    redis_stop(&s->server);
}

static void run(const struct scene *s, const char *command)
{
    char *reply = redis_command(&s->server, command);
    CHECK_STR(reply, "OK");
    free(reply);
}

static char *ask(const struct scene *s, const char *line)
{
    static char text[DIAL_BYTES];
    CHECK(dial_ask(s->path, line, text));
    return text;
}

/* Whether nigh health has this text, and is in this state. */
static bool health(const struct scene *s, const char *state, const char *text)
{
    const char *told = ask(s, "health\n");
    return strncmp(told, state, strlen(state)) == 0 && strstr(told, text);
}

#define CHECK_HEALTH(s, state, text)                                                               \
    do {                                                                                           \
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, health(s, state, text)))                              \
            check_note("%s", ask(s, "health\n"));                                                  \
    } while (0)

/* A miss of a key that nobody has, which its loader serves whatever Redis says. */
static void miss(struct scene *s)
{
    char key[20], row[40];
    snprintf(key, sizeof(key), "new %u", s->misses++);
    snprintf(row, sizeof(row), "%s=1", key);
    CHECK_STR(ask_fetch(s->w.space, key, NULL).text, row);
}

/* Waits for so many beats. */
static void let_beat(struct scene *s, int64_t count)
{
    int64_t until = world_count(&s->w, "beat") + count;
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&s->w, "beat") >= until);
}

static bool is_delivered(struct scene *s)
{
    return world_count(&s->w, "queued") == 0 && nigh_health(s->w.cache) == NIGH_FRESH;
}

/* ---- part of the work ---- */

/* Beats, changes and reads go on, and are no reason to take it for well. */
TEST(a_full_server_that_answers_beats_is_told_as_full)
{
    static char *const args[] = {"--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru",
                                 NULL};
    struct scene s;
    scene_open(&s, args, WORLD_PATIENCE_MS);
    run(&s, "CONFIG SET maxmemory-policy noeviction");
    run(&s, "CONFIG SET maxmemory 1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, (miss(&s), said("refuses a request: OOM ")) == 1);
    let_beat(&s, 3);
    CHECK_EQ(peer_tell(&s.w, NIGH_TARGET_KEY, "k"), 0);
    CHECK(health(&s, "degraded: redis is connected, but refuses leases: OOM command not allowed "
                     "when used memory > 'maxmemory' (for ", " UTC)\nclients: what L1 lacks each "
                     "process may have to load for itself\n"));
    const char *seconds = strstr(ask(&s, "stats prometheus\n"), "\nnigh_redis_problem_seconds ");
    CHECK(seconds && atof(seconds + strlen("\nnigh_redis_problem_seconds ")) > 0);
    CHECK(strstr(ask(&s, "explain s k\n"), "trust      held for "));
    CHECK(health(&s, "degraded: ", "refuses leases: OOM ")); /* explain's look was served */
    run(&s, "CONFIG SET maxmemory 0");
    CHECK_WITHIN(WORLD_PATIENCE_MS, (miss(&s), health(&s, "ok\n", "")));
    CHECK(health(&s, "ok\n", "\nlast outage: redis was connected, but refused requests, for "));
    CHECK(health(&s, "ok\n", "\nlast outage: it began with: OOM command not allowed "));
    CHECK_WITHIN(WORLD_PATIENCE_MS, said("takes all requests again") == 1);
    run(&s, "CONFIG SET maxmemory 1"); /* the next time is news */
    CHECK_WITHIN(WORLD_PATIENCE_MS, (miss(&s), said("refuses a request: OOM ")) == 2);
    scene_close(&s);
}

/* Where few values are in Redis the lease is asked for at once, and what is there comes instead of
 * it. That is no lease that was granted. */
TEST(a_full_server_was_taken_for_well_while_it_had_values)
{
    static char *const args[] = {"--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru",
                                 NULL};
    enum { KEYS = 8, MISSES = 200 };
    struct scene s;
    struct world other;
    char keys[KEYS][8];
    scene_open(&s, args, WORLD_PATIENCE_MS);
    peer_open(&other, &(struct peer){.uri = s.server.uri}, &s.w.origin);
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "old %d", i);
        CHECK_EQ(ask_fetch(other.space, keys[i], NULL).outcome, NIGH_FRESH);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&other, "l2_fill") == KEYS);
    run(&s, "CONFIG SET maxmemory-policy noeviction");
    run(&s, "CONFIG SET maxmemory 1");
    for (int i = 0; i < MISSES; i++)
        miss(&s);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (miss(&s), said("refuses a request: OOM ")) == 1);
    int64_t first = world_count(&s.w, "lease_first"), found = world_count(&s.w, "l2_fresh");
    for (int i = 0; i < KEYS; i++) {
        CHECK_EQ(ask_fetch(s.w.space, keys[i], NULL).outcome, NIGH_FRESH);
        pass_ms(400); /* in all longer than a server must be quiet that is well again */
    }
    CHECK_EQ(world_count(&s.w, "l2_fresh"), found + KEYS);
    CHECK_GE(world_count(&s.w, "lease_first"), first + KEYS / 2);
    CHECK(health(&s, "degraded: ", "refuses leases: OOM "));
    CHECK_EQ(said("takes all requests again"), 0);
    world_close(&other);
    scene_close(&s);
}

/* The listener hears, hits are fresh, and no other node learns of a change. */
TEST(a_server_that_takes_no_changes_is_told_so_and_what_waits)
{
    static char *const args[] = {"--user", "app", "on", ">pw", "allkeys", "allchannels", "+@all",
                                 NULL};
    struct scene s;
    char uri[200];
    redis_start(&s.server, args);
    snprintf(uri, sizeof(uri), "unix://app:pw@%s", s.server.socket);
    scene_open_at(&s, uri, WORLD_PATIENCE_MS);
    run(&s, "ACL SETUSER app -setrange");
    CHECK_EQ(peer_tell(&s.w, NIGH_TARGET_KEY, "k"), NIGH_QUEUED);
    CHECK_HEALTH(&s, "degraded: redis is connected, but refuses changes: NOPERM for SETRANGE",
                 "\nqueued: 1 change, of which other nodes know nothing until redis accepts it\n");
    let_beat(&s, 3);
    CHECK(health(&s, "degraded: ", "refuses changes: NOPERM for SETRANGE"));
    run(&s, "ACL SETUSER app +setrange");
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_delivered(&s));
    CHECK_HEALTH(&s, "ok\n", "\ndelivered: 1 change that waited was told to all nodes ");
    scene_close(&s);
}

/* Has another node wait for a load of this one, which loses a right meanwhile. */
static void be_waited_for(struct scene *s, struct world *other, const char *command)
{
    struct asker here, there;
    origin_hold(&s->w.origin);
    asker_start(&here, s->w.space, "awaited", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, s->w.origin.held_loads == 1);
    asker_start(&there, other->space, "awaited", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(other, "lease_held") == 1);
    run(s, command);
    origin_let_go(&s->w.origin);
    asker_join(&here);
    asker_join(&there);
    CHECK_EQ(there.answer.outcome, NIGH_FRESH);
}

static char *const app_args[] = {"--user", "app", "on", ">pw", "allkeys", "allchannels", "+@all",
                                 NULL};

/* A node whose rights may be taken, and another one. */
static void open_app(struct scene *s, struct world *other)
{
    char uri[200];
    redis_start(&s->server, app_args);
    snprintf(uri, sizeof(uri), "unix://app:pw@%s", s->server.socket);
    scene_open_at(s, uri, WORLD_PATIENCE_MS);
    patient_open(other, &s->server, &s->w.origin, NULL);
}

/* The log has what the channel has not: a change is done once, and the others hear of it with their
 * next beat. It was refused behind all that it does, kept, and sent again and again: each time all
 * nodes dropped the key once more. A load that is waited for is stored, and nobody is woken. */
TEST(a_node_that_may_not_publish_is_heard_with_the_next_beat)
{
    struct scene s;
    struct world other;
    open_app(&s, &other);
    be_waited_for(&s, &other, "ACL SETUSER app -publish");
    peers_have(&s.w, &other, &s.w.origin, "k");
    int64_t heard = world_count(&other, "beat_applied");
    CHECK_EQ(peer_tell(&s.w, NIGH_TARGET_KEY, "k"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&other, "beat_applied") > heard);
    CHECK_HEALTH(&s, "degraded: NOPERM for PUBLISH",
                 "\nclients: other nodes hear of changes made here with their next beat, not at "
                 "once\n");
    CHECK(!health(&s, "", "\nqueued: "));
    for (uint64_t began_ms = check_now_ms(); check_now_ms() - began_ms < 5000; pass_ms(50)) {
        miss(&s);
        CHECK(health(&s, "degraded: NOPERM for PUBLISH",
                     "\nclients: where another node waits for a load of this one, it waits for all "
                     "of lease.time\n"));
    }
    CHECK_EQ(world_count(&other, "beat_applied"), heard + 1);
    CHECK_EQ(said("takes all requests again"), 0);
    CHECK_EQ(said("gives too few rights: NOPERM for PUBLISH"), 1);
    run(&s, "ACL SETUSER app +publish");
    CHECK_HEALTH(&s, "ok\n", "");
    CHECK_WITHIN(WORLD_PATIENCE_MS, said("takes all requests again") == 1);
    world_close(&other);
    scene_close(&s);
}

/* Redis' own words, with which it began, name none. */
TEST(each_right_that_lacks_is_told_and_what_that_means)
{
    struct scene s;
    struct world other;
    open_app(&s, &other);
    be_waited_for(&s, &other, "ACL SETUSER app -publish -set");
    CHECK_HEALTH(&s, "degraded: redis is connected, but refuses ", "NOPERM for SET, PUBLISH");
    CHECK(health(&s, "", "\nclients: what L1 lacks each process may have to load for itself\n"));
    CHECK(health(&s, "", "\nclients: where another node waits for a load of this one, it waits "));
    CHECK(!health(&s, "", "it began with"));
    run(&s, "ACL SETUSER app +set"); /* and nothing is refused for want of the other */
    CHECK_WITHIN(WORLD_PATIENCE_MS, (miss(&s), health(&s, "degraded: NOPERM for PUBLISH", "")));
    run(&s, "ACL SETUSER app -set");
    CHECK_WITHIN(WORLD_PATIENCE_MS, (miss(&s), health(&s, "degraded: redis is connected, but "
                                                          "refuses ", "NOPERM for SET, PUBLISH")));
    run(&s, "ACL SETUSER app +publish +set"); /* no load needs them now */
    CHECK_HEALTH(&s, "ok\n", "\nlast outage: it began with: NOPERM for SET, PUBLISH");
    world_close(&other);
    scene_close(&s);
}

/* Lets time pass, in which all is answered: a server that is silent for seconds is lost. */
static void pass_half_a_second(struct world *w)
{
    int64_t beats = world_count(w, "beat");
    world_advance(w, 500);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(w), world_count(w, "beat") > beats));
}

static bool is_told(struct world *w, const char *problem)
{
    struct l2_problem p;
    pass_half_a_second(w);
    l2_problem_read(w->cache->l2, &p);
    return p.refused == 0 && strncmp(p.text, problem, strlen(problem)) == 0;
}

static bool is_well(struct world *w)
{
    struct l2_problem p;
    struct l2_outage last;
    pass_half_a_second(w);
    l2_problem_read(w->cache->l2, &p);
    l2_refusal_read(w->cache->l2, &last);
    return !p.text[0] && !last.text[0];
}

/* Nothing needs it, and nothing is refused. */
TEST(a_right_that_lacks_is_told_before_anything_is_refused)
{
    struct redis server;
    struct world w;
    char uri[200];
    redis_start(&server, app_args);
    snprintf(uri, sizeof(uri), "unix://app:pw@%s", server.socket);
    struct nigh_options o = world_options(&w);
    o.redis_uri = uri;
    o.beat_ms = 100;
    o.log = hear;
    forget_said();
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (world_tick(&w), nigh_health(w.cache) == NIGH_FRESH));
    free(redis_command(&server, "ACL SETUSER app -publish"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_told(&w, "NOPERM for PUBLISH"));
    CHECK_EQ(said("gives too few rights: NOPERM for PUBLISH"), 1);
    free(redis_command(&server, "ACL SETUSER app +publish"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_well(&w));
    CHECK_EQ(said("takes all requests again"), 1);
    world_close(&w);
    redis_stop(&server);
}

/* ---- all of it ---- */

/* Goes through what a server brings that refuses beats and changes for this reason. */
static void check_refused(struct scene *s, const char *why)
{
    char line[200];
    CHECK_EQ(peer_tell(&s->w, NIGH_TARGET_KEY, "k"), NIGH_QUEUED);
    snprintf(line, sizeof(line), "doubt: redis is connected, but refuses beats, changes");
    CHECK_HEALTH(s, line, why);
    CHECK(health(s, "doubt: ", "\ndoubt: nothing stored is called fresh since "));
    CHECK(health(s, "doubt: ", "\nqueued: 1 change, "));
    CHECK(strstr(ask(s, "explain s k\n"), "Redis refuses"));
    CHECK(strstr(ask(s, "get redis_problem\n"), why));
    snprintf(line, sizeof(line), "refuses a request: %s", why);
    CHECK_WITHIN(WORLD_PATIENCE_MS, said(line) == 1);
}

static void check_recovery(struct scene *s, const char *why)
{
    char line[200];
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_delivered(s));
    snprintf(line, sizeof(line), "\nlast doubt: redis refused: %s", why);
    CHECK_HEALTH(s, "ok\n", line);
    snprintf(line, sizeof(line), "refuses a request: %s", why);
    CHECK_EQ(said(line), 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, said("takes all requests again") == 1);
}

TEST(a_server_that_cannot_save_is_told_in_whole_sentences)
{
    static const char why[] = "MISCONF Redis is configured to save RDB snapshots, but it's "
                              "currently unable to persist to disk. (for ";
    static const char begin[] = "MISCONF Redis is configured to save RDB snapshots";
    struct scene s;
    static char *const args[] = {"--save", "3600 1", NULL};
    char dump[96];
    scene_open(&s, args, 1000);
    snprintf(dump, sizeof(dump), "%s/dump.rdb", s.server.dir);
    unlink(dump);
    REQUIRE(mkdir(dump, 0700) == 0);
    free(redis_command(&s.server, "BGSAVE"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, said("MISCONF"));
    CHECK_HEALTH(&s, "doubt: ", why);
    check_refused(&s, begin);
    run(&s, "CONFIG SET stop-writes-on-bgsave-error no");
    check_recovery(&s, begin);
    rmdir(dump);
    scene_close(&s);
}

/* Each of its connections comes up, is refused the first beat, and goes. */
TEST(a_server_that_wants_replicas_filled_the_log)
{
    struct scene s;
    scene_open(&s, NULL, 1000);
    run(&s, "CONFIG SET min-replicas-to-write 1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&s.w, "l2_lost") >= 4);
    CHECK_HEALTH(&s, "doubt: redis ", "NOREPLICAS Not enough good replicas to write (for ");
    CHECK_EQ(said("is not connected: NOREPLICAS"), 1);
    CHECK_EQ(said("is connected again"), 0);
    run(&s, "CONFIG SET min-replicas-to-write 0");
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(s.w.cache) == NIGH_FRESH);
    CHECK_HEALTH(&s, "ok\n", "\nlast outage: redis was away for ");
    CHECK_WITHIN(WORLD_PATIENCE_MS, said("is connected again") == 1); /* a thread writes the log */
    scene_close(&s);
}

/* What began with a refusal was not connected for as long as no script was executed, although it is
 * another refusal that keeps a guest from that: nobody has begun anything in this server. */
TEST(a_server_that_refuses_in_other_words_is_told_with_these)
{
    struct scene s;
    struct world first;
    redis_start(&s.server, NULL);
    peer_open(&first, &(struct peer){.uri = s.server.uri}, NULL);
    struct nigh_options o = patient_options(&s.server);
    o.trust_ms = 1000;
    o.guest = 1;
    scene_begin(&s, s.server.uri, o);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(s.w.cache) == NIGH_FRESH);
    world_close(&first);
    run(&s, "CONFIG SET min-replicas-to-write 1");
    CHECK_HEALTH(&s, "doubt: redis ", "NOREPLICAS Not enough good replicas to write (for ");
    redis_restart(&s.server, REDIS_EMPTY);
    CHECK_HEALTH(&s, "doubt: redis is connected, but refuses beats: ERR NOCLOCK ",
                 "\nlast outage: redis was away for ");
    scene_close(&s);
}

/* ---- beats that are answered, and bring no trust ---- */

TEST(a_node_with_other_group_slots_was_told_that_redis_had_not_vouched)
{
    struct scene s;
    struct world first;
    redis_start(&s.server, NULL);
    peer_open(&first, &(struct peer){.uri = s.server.uri}, NULL);
    struct nigh_options o = patient_options(&s.server);
    o.group_slots *= 2;
    scene_begin(&s, s.server.uri, o);
    CHECK_HEALTH(&s, "doubt: coherence.group_slots is 4096 here but 2048 in redis\n",
                 "\ndoubt: nothing stored was called fresh since the opening, ");
    world_close(&first);
    scene_close(&s);
}
