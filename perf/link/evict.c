// SPDX-License-Identifier: MIT
/*
 * How soon has another process evicted what was invalidated here?
 *
 * A node in a process of its own holds a key in L1, and sleeps. Our call's beginning and the moment
 * at which its listener has applied the frame are read from one clock (CLOCK_MONOTONIC), the latter
 * by a function that the linker puts around the library's own (bench: link.cmake): nobody polls, so
 * the processors are as idle as they would be.
 *
 * Beside it, in turn: PUBLISH and its reply to a blocking caller; PUBLISH until a blocking
 * subscriber in the other process has read it; the same with a script that does no more than a
 * change has to (the side "Lua" of other rows); and with one that a thread here has subscribed to
 * before, as our own listener has. And what a wake-up costs here whatever Redis does: a byte to the
 * other process and back over a socket, and a futex word. All are measured at once
 * after the one before, and after idling for 100 ms, in which a virtual processor falls asleep.
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "l2/l2.h"
#include "link/plain.h"
#include "support/fail.h"

#define PREFIX      "evict"
#define PLAIN       PREFIX ":plain"
#define BOTH        PREFIX ":both"
#define STREAM      PREFIX ":log"
#define NAMES       PREFIX ":a " PREFIX ":b" /* that go with a change: a lease, a value */
#define HEARD_NS    (20 * PERF_NS_PER_S)
#define SAMPLES_MAX 4096u
#define IDLE_NS     (100 * PERF_NS_PER_MS)
#define BAR         2.0

static const char key[] = "evicted";

/* In shared memory. */
struct stage {
    _Atomic uint64_t frames;   /* that the node's listener has applied */
    _Atomic uint64_t frame_ns; /* when the last one was */
    _Atomic uint64_t messages; /* that the subscriber has read */
    _Atomic uint64_t message_ns;
    _Atomic uint32_t ball; /* of the futexes: odd: theirs */
};

static struct stage *stage;
static bool is_node;
static int node_fd; /* commands of one byte, each answered with one */
static pid_t node;

/* ---- the other process ---- */

struct coherence;
void __real_coherence_push(struct coherence *c, struct bytes payload);
void __wrap_coherence_push(struct coherence *c, struct bytes payload);

void __wrap_coherence_push(struct coherence *c, struct bytes payload)
{
    __real_coherence_push(c, payload);
    if (!is_node)
        return;
    atomic_store(&stage->frame_ns, now_ns());
    atomic_fetch_add(&stage->frames, 1);
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void *return_balls(void *arg)
{
    (void)arg;
    for (uint32_t ball;;) {
        while ((ball = atomic_load(&stage->ball)) % 2 == 0)
            futex(&stage->ball, FUTEX_WAIT, ball);
        atomic_store(&stage->ball, ball + 1);
        futex(&stage->ball, FUTEX_WAKE, 1);
    }
    return NULL;
}

/* The other process hears all, this one what both do. */
static void *subscribe(void *arg)
{
    redisContext *c = plain_connect();
    void *reply = redisCommand(c, "SUBSCRIBE %s %s", BOTH, is_node ? PLAIN : BOTH);
    (void)arg;
    for (unsigned n = 0; reply; n++) {
        freeReplyObject(reply);
        if (redisGetReply(c, &reply) != REDIS_OK)
            break;
        if (!is_node || n == 0) /* the second confirmation */
            continue;
        atomic_store(&stage->message_ns, now_ns());
        atomic_fetch_add(&stage->messages, 1);
    }
    if (is_node)
        _exit(0);
    redisFree(c);
    return NULL;
}

/* 'h' if L1 has the key, after a look at Redis with 'r'. */
static char look(struct nigh_space *space, char command)
{
    struct nigh_call l1 = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    l1.flags = NIGH_L1_ONLY;
    if (command == 'r') {
        nigh_get(space, key, sizeof(key), NULL, &value);
        nigh_release(&value);
    }
    int outcome = nigh_get(space, key, sizeof(key), &l1, &value);
    nigh_release(&value);
    return outcome == NIGH_FRESH ? 'h' : 'm';
}

/* 'p' is the control: a byte, and back. Begins its threads with the first command. */
__attribute__((noreturn)) static void serve(int fd)
{
    struct nigh_space *space = NULL;
    pthread_t id;
    char command, answer;
    while (read(fd, &command, 1) == 1) {
        if (command == 'b') {
            link_cache_open(PREFIX, &space);
            if (pthread_create(&id, NULL, return_balls, NULL) != 0 ||
                pthread_create(&id, NULL, subscribe, NULL) != 0)
                fail("cannot start a thread");
        }
        answer = command == 'r' || command == 'l' ? look(space, command) : command;
        if (write(fd, &answer, 1) != 1)
            break;
    }
    _exit(0);
}

void evict_begin(void)
{
    int ends[2];
    stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        fail("evict: %m");
    node = fork();
    if (node == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        is_node = true;
        close(ends[0]);
        serve(ends[1]);
    }
    close(ends[1]);
    node_fd = ends[0];
}

void evict_end(void)
{
    kill(node, SIGKILL);
    waitpid(node, NULL, 0);
    close(node_fd);
}

/* ---- here ---- */

struct here {
    struct nigh *cache;
    struct nigh_space *space;
    redisContext *plain;
    char script[41]; /* the digest of link_change_text */
};

static char tell(char command)
{
    char answer;
    if (write(node_fd, &command, 1) != 1 || read(node_fd, &answer, 1) != 1)
        fail("the other process has gone");
    return answer;
}

static void wait_for(_Atomic uint64_t *count, uint64_t wanted)
{
    for (uint64_t until = now_ns() + HEARD_NS; atomic_load(count) < wanted;
         sleep_ns(PERF_NS_PER_MS))
        if (now_ns() > until)
            fail("the other process hears nothing");
}

static void wait_for_subscribers(struct here *h, const char *channel, long long wanted)
{
    uint64_t until = now_ns() + HEARD_NS;
    for (long long count = 0; count < wanted; sleep_ns(PERF_NS_PER_MS)) {
        redisReply *r = redisCommand(h->plain, "PUBSUB NUMSUB %s", channel);
        if (!r || r->elements != 2 || now_ns() > until)
            fail("the other process does not subscribe");
        count = r->element[1]->integer;
        freeReplyObject(r);
    }
}

static void idle(uint64_t ns)
{
    if (ns)
        sleep_ns(ns);
}

static void must_be_done(const char *what, int rc)
{
    if (rc != NIGH_OK)
        fail("evict: %s: %s", what, nigh_strerror(rc));
}

/* The node may be in doubt for a moment, on a machine so busy that its beats are late. */
static void warm(void)
{
    for (uint64_t until = now_ns() + HEARD_NS; tell('r') != 'h'; sleep_ns(PERF_NS_PER_MS))
        if (now_ns() > until)
            fail("evict: the other node does not get the value");
}

static uint64_t evict_once(struct here *h, uint64_t idle_ns)
{
    uint64_t heard = atomic_load(&stage->frames);
    must_be_done("nigh_put", nigh_put(h->space, key, sizeof(key), "v", 1, NULL));
    wait_for(&stage->frames, heard + 1);
    warm();
    idle(idle_ns);
    uint64_t began_ns = now_ns();
    must_be_done("nigh_invalidate", nigh_invalidate(h->space, key, sizeof(key), NULL));
    wait_for(&stage->frames, heard + 2);
    if (tell('l') != 'm')
        fail("evict: the other node has kept the value");
    return atomic_load(&stage->frame_ns) - began_ns;
}

static uint64_t publish(struct here *h)
{
    char frame[LINK_FRAME_BYTES] = {0};
    uint64_t began_ns = now_ns();
    redisReply *r = redisCommand(h->plain, "PUBLISH " PLAIN " %b", frame, sizeof(frame));
    uint64_t took_ns = now_ns() - began_ns;
    if (!r || r->type != REDIS_REPLY_INTEGER || r->integer != 1)
        fail("evict: PUBLISH");
    freeReplyObject(r);
    return took_ns;
}

static uint64_t publish_once(struct here *h, uint64_t idle_ns)
{
    uint64_t heard = atomic_load(&stage->messages);
    idle(idle_ns);
    uint64_t took_ns = publish(h);
    wait_for(&stage->messages, heard + 1);
    return took_ns;
}

static uint64_t hear_once(struct here *h, uint64_t idle_ns)
{
    uint64_t heard = atomic_load(&stage->messages);
    idle(idle_ns);
    uint64_t began_ns = now_ns();
    publish(h);
    wait_for(&stage->messages, heard + 1);
    return atomic_load(&stage->message_ns) - began_ns;
}

static void load_script(struct here *h)
{
    redisReply *r = redisCommand(h->plain, "SCRIPT LOAD %s", link_change_text);
    if (!r || r->type != REDIS_REPLY_STRING)
        fail("evict: SCRIPT LOAD");
    snprintf(h->script, sizeof(h->script), "%s", r->str);
    freeReplyObject(r);
}

static uint64_t script_once(struct here *h, uint64_t idle_ns, const char *channel)
{
    char frame[LINK_FRAME_BYTES] = {0};
    uint64_t heard = atomic_load(&stage->messages);
    idle(idle_ns);
    uint64_t began_ns = now_ns();
    redisReply *r = redisCommand(h->plain, "EVALSHA %s 3 " STREAM " " NAMES " %b %s", h->script,
                                 frame, sizeof(frame), channel);
    if (!r || r->type != REDIS_REPLY_INTEGER)
        fail("evict: EVALSHA");
    freeReplyObject(r);
    wait_for(&stage->messages, heard + 1);
    return atomic_load(&stage->message_ns) - began_ns;
}

static uint64_t script_alone_once(struct here *h, uint64_t idle_ns)
{
    return script_once(h, idle_ns, PLAIN);
}

static uint64_t script_both_once(struct here *h, uint64_t idle_ns)
{
    return script_once(h, idle_ns, BOTH);
}

static uint64_t socket_once(struct here *h, uint64_t idle_ns)
{
    (void)h;
    idle(idle_ns);
    uint64_t began_ns = now_ns();
    tell('p');
    return now_ns() - began_ns;
}

static uint64_t futex_once(struct here *h, uint64_t idle_ns)
{
    (void)h;
    idle(idle_ns);
    uint64_t began_ns = now_ns();
    uint32_t ball = atomic_fetch_add(&stage->ball, 1) + 1;
    futex(&stage->ball, FUTEX_WAKE, 1);
    while (atomic_load(&stage->ball) == ball)
        futex(&stage->ball, FUTEX_WAIT, ball);
    return now_ns() - began_ns;
}

static const struct {
    const char *name;
    uint64_t (*once)(struct here *h, uint64_t idle_ns);
} ways[] = {
    {"nigh, call to evict", evict_once}, {"PUBLISH round trip", publish_once},
    {"PUBLISH to heard", hear_once},     {"Lua to heard", script_alone_once},
    {"Lua, heard by both", script_both_once},
    {"socket ping-pong", socket_once},   {"futex ping-pong", futex_once},
};
#define WAYS  (sizeof(ways) / sizeof(ways[0]))
#define IDLES 2u

struct samples {
    double us[SAMPLES_MAX];
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(struct samples *s, unsigned count, double fraction)
{
    qsort(s->us, count, sizeof(s->us[0]), by_size);
    return s->us[(unsigned)((double)(count - 1) * fraction)];
}

static unsigned show(struct samples (*all)[IDLES], unsigned count, unsigned *ret_bars)
{
    static const char *const cases[IDLES] = {"evict, at once", "evict, after 100 ms"};
    double base[IDLES];
    unsigned missed = 0;
    printf("%-20s%21s%31s\n", "evict, us", "at once: p50     p99", "after 100 ms: p50     p99");
    for (size_t i = 0; i < IDLES; i++)
        base[i] = quantile(&all[1][i], count, 0.5);
    for (size_t w = 0; w < WAYS; w++) {
        printf("  %-18s", ways[w].name);
        for (size_t i = 0; i < IDLES; i++) {
            double p50 = quantile(&all[w][i], count, 0.5);
            printf("%*.1f%8.0f", i ? 23 : 13, p50, quantile(&all[w][i], count, 0.99));
            if (w > 0)
                result_add("link", cases[i], "p50", "us", quantile(&all[0][i], count, 0.5),
                           ways[w].name, p50);
        }
        printf("\n");
    }
    printf("  %-18s", "  / PUBLISH");
    for (size_t i = 0; i < IDLES; i++) {
        double ratio = quantile(&all[0][i], count, 0.5) / base[i];
        printf("%*.2f[%g]%8s", i ? 20 : 10, ratio, BAR, "");
        missed += ratio > BAR;
        ++*ret_bars;
    }
    printf("\n");
    return missed;
}

unsigned evict_run(unsigned samples, unsigned *ret_bars)
{
    struct samples(*all)[IDLES] = must_alloc(WAYS, sizeof(*all));
    struct here h = {.plain = plain_connect()};
    pthread_t id; /* ends with the process */
    samples = samples > SAMPLES_MAX ? SAMPLES_MAX : samples;
    h.cache = link_cache_open(PREFIX, &h.space);
    tell('b');
    wait_for_subscribers(&h, PREFIX ":!2:!inv:0", 2); /* our own cache is one */
    wait_for_subscribers(&h, PLAIN, 1);
    wait_for_subscribers(&h, BOTH, 1);
    if (pthread_create(&id, NULL, subscribe, NULL) != 0)
        fail("cannot start a thread");
    wait_for_subscribers(&h, BOTH, 2);
    load_script(&h);
    for (unsigned n = 0; n < samples; n++)
        for (size_t w = 0; w < WAYS; w++)
            for (size_t i = 0; i < IDLES; i++) {
                progress_share((double)n / samples, "evict: %u of %u", n, samples);
                all[w][i].us[n] = (double)ways[w].once(&h, i ? IDLE_NS : 0) / 1e3;
            }
    progress_next();
    progress_end();
    unsigned missed = show(all, samples, ret_bars);
    nigh_close(h.cache);
    redisFree(h.plain);
    free(all);
    return missed;
}
