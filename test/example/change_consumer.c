// SPDX-License-Identifier: MIT
/*
 * A consumer of change events: for writers that do not know nigh. Whoever commits a change to the
 * database also adds an event to a Redis stream (or a trigger or a log reader of the database
 * does); this program reads the events as a member of a consumer group, and invalidates.
 *
 *     change_consumer REDIS_SOCKET STREAM [NAME]      NAME: of the consumer; default "1"
 *
 *     XADD changes '*' package package-17             one event: the package that has changed
 *
 * Events are taken in batches: one call of nigh, one script in Redis, one message to the nodes. A
 * batch is acknowledged when its invalidations were accepted by Redis, and not before. A consumer
 * that dies between the two reads the batch again when it comes back under its name; invalidating
 * twice does no harm. Events of a consumer that never comes back: XAUTOCLAIM, not shown here.
 *
 * The stream lies in the Redis that NIGH_CONF names in redis.uri, or in another one.
 */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nigh/nigh.h>

#define GROUP "nigh"
#define BATCH_MAX 256 /* one step for nigh: NIGH_ATOMIC_TARGETS */
#define BLOCK_MS "500" /* how often a quiet consumer looks whether it shall end */

struct consumer {
    const char *socket, *stream, *name;
    struct nigh *cache;
    redisContext *redis; /* NULL: not connected */
    int recovering;      /* reads what was handed to this name before and never acknowledged */
};

static volatile sig_atomic_t ending;

static void end(int signal_number)
{
    (void)signal_number;
    ending = 1;
}

static void disconnect(struct consumer *c, const char *why)
{
    if (why)
        fprintf(stderr, "change_consumer: %s; trying again\n", why);
    redisFree(c->redis);
    c->redis = NULL;
}

/* Returns NULL after a failure; the connection is then closed. */
static redisReply *command(struct consumer *c, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(c->redis, argc, argv, NULL);
    if (reply && reply->type != REDIS_REPLY_ERROR)
        return reply;
    disconnect(c, reply ? reply->str : c->redis->errstr);
    if (reply)
        freeReplyObject(reply);
    return NULL;
}

/* Connect, and make the group: from the first event on, if it is new. */
static int connect_redis(struct consumer *c)
{
    struct timeval patience = {5, 0};
    c->redis = redisConnectUnixWithTimeout(c->socket, patience);
    if (!c->redis || c->redis->err || redisSetTimeout(c->redis, patience) != REDIS_OK) {
        disconnect(c, c->redis ? c->redis->errstr : "no memory");
        return 0;
    }
    redisReply *reply =
        redisCommand(c->redis, "XGROUP CREATE %s " GROUP " 0 MKSTREAM", c->stream);
    int made = reply && (reply->type != REDIS_REPLY_ERROR || !strncmp(reply->str, "BUSYGROUP", 9));
    if (!made)
        disconnect(c, reply ? reply->str : c->redis->errstr);
    if (reply)
        freeReplyObject(reply);
    c->recovering = 1;
    return made;
}

/* Read the next events: first those that were handed out before, then new ones. Returns the array
 * of events; NULL: there are none. The reply is the caller's to free. */
static redisReply *read_events(struct consumer *c, redisReply **ret_reply)
{
    const char *from = c->recovering ? "0" : ">";
    const char *argv[] = {"XREADGROUP", "GROUP",  GROUP,     c->name,   "COUNT", "256",
                          "BLOCK",      BLOCK_MS, "STREAMS", c->stream, from};
    *ret_reply = command(c, sizeof(argv) / sizeof(argv[0]), argv);
    if (!*ret_reply || (*ret_reply)->type != REDIS_REPLY_ARRAY || (*ret_reply)->elements == 0)
        return NULL;
    redisReply *events = (*ret_reply)->element[0]->element[1];
    if (events->elements == 0)
        c->recovering = 0;
    return events->elements ? events : NULL;
}

/* The package that an event is about. False: the event says nothing that we know, or was deleted
 * from the stream; it is acknowledged all the same, or it would come back for ever. */
static int target_of(const redisReply *event, struct nigh_target *ret_target)
{
    const redisReply *fields = event->element[1];
    for (size_t i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        const redisReply *value = fields->element[i + 1];
        if (strcmp(fields->element[i]->str, "package") == 0 && value->len > 0 &&
            value->len <= NIGH_KEY_MAX && !memchr(value->str, 0, value->len)) {
            *ret_target = (struct nigh_target){
                .kind = NIGH_TARGET_TAG, .name = value->str, .name_len = value->len};
            return 1;
        }
    }
    return 0;
}

static void acknowledge(struct consumer *c, const redisReply *events)
{
    const char *argv[3 + BATCH_MAX] = {"XACK", c->stream, GROUP};
    int argc = 3;
    for (size_t i = 0; i < events->elements; i++)
        argv[argc++] = events->element[i]->element[0]->str;
    redisReply *reply = command(c, argc, argv);
    if (reply)
        freeReplyObject(reply);
}

/* Invalidate all of a batch, then acknowledge it. True: both are done. */
static int consume(struct consumer *c, const redisReply *events)
{
    struct nigh_target targets[BATCH_MAX];
    size_t n = 0;
    for (size_t i = 0; i < events->elements; i++)
        n += (size_t)target_of(events->element[i], &targets[n]);
    int rc = n ? nigh_invalidate_many(c->cache, targets, n, NULL) : 0;
    /* Queued: nigh tries again, but only while this process lives. */
    if (rc == NIGH_QUEUED)
        rc = nigh_drain(c->cache, 1000);
    if (rc < 0) {
        fprintf(stderr, "change_consumer: %zu events: %s\n", n, nigh_strerror(rc));
        return 0;
    }
    acknowledge(c, events);
    return c->redis != NULL;
}

/* One batch. True: there may be more at once. */
static int step(struct consumer *c)
{
    redisReply *reply = NULL;
    if (!c->redis && !connect_redis(c))
        return 0;
    redisReply *events = read_events(c, &reply);
    int done = c->redis != NULL;
    if (events && !consume(c, events)) {
        c->recovering = 1; /* the same events again */
        done = 0;
    }
    if (reply)
        freeReplyObject(reply);
    return done;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = end};
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s REDIS_SOCKET STREAM [NAME]\n", argv[0]);
        return 2;
    }
    struct consumer c = {argv[1], argv[2], argc > 3 ? argv[3] : "1", NULL, NULL, 0};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    int rc = nigh_open(NULL, &c.cache);
    if (rc < 0) {
        fprintf(stderr, "change_consumer: %s: %s\n", nigh_strerror(rc), nigh_options_error());
        return 1;
    }
    while (!ending)
        if (!step(&c) && !ending)
            usleep(200 * 1000);
    if (c.redis)
        disconnect(&c, NULL);
    nigh_close(c.cache);
    return 0;
}
