// SPDX-License-Identifier: MIT
/*
 * nigh watch: the changes of all nodes, a line each, for as long as nobody ends it.
 */
#include "tool/redis.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 100 /* for a terminal that takes nothing; then a signal is looked for again */
#define WAITING_BYTES (1u << 20)
#define LINE_BYTES (100 + 4 * (NIGH_KEY_MAX + NIGH_NAME_MAX)) /* of a change, at most */

static void end(int number)
{
    (void)number;
    redis_ended = 1;
}

/* A signal ends the program, and before that what it waits in: a line may be stuck in a pipe that
 * nobody reads. The next one ends it by itself. */
static void end_by_signals(void)
{
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Lines that wait to be written: whoever tells us of changes must not wait for a slow terminal, for
 * it would hear nothing more, and Redis would cut it off. What there is no room for is counted. */
static struct {
    pthread_mutex_t lock;
    char text[WAITING_BYTES]; /* (lock) */
    size_t len;               /* (lock) */
    uint64_t left_out;        /* (lock) changes */
} waiting = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Returns the length of the character of UTF-8 (RFC 3629) at `s`, of `left` bytes, if it is one
 * that may be shown between quotes as it is; 0: it has to be escaped. */
static size_t shown_len(const unsigned char *s, size_t left)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    static const uint32_t bits[] = {0, 0x7f, 0x1f, 0x0f, 0x0f}; /* 0xf8 and above get too much */
    static const uint32_t least[] = {0, ' ', 0xa0 /* C1 ends */, 0x800, 0x10000};
    uint32_t code = s[0] & bits[len];
    if (len > left || (s[0] & 0xc0) == 0x80 || s[0] == '"' || s[0] == '\\' || s[0] == 0x7f)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[len] || surrogate || code > 0x10ffff ? 0 : len;
}

/* Adds a name as no terminal acts on it, up to four bytes for one: --escaped takes it back. */
static char *put_name(char *to, const char *name, size_t len)
{
    const unsigned char *s = (const unsigned char *)name, *end = s + len;
    while (s < end) {
        size_t shown = shown_len(s, (size_t)(end - s));
        to += shown ? sprintf(to, "%.*s", (int)shown, (const char *)s)
                    : sprintf(to, "\\x%02x", *s);
        s += shown ? shown : 1;
    }
    return to;
}

/* Writes "14:03:07.123Z node 41a0 key users \"user:1\"": in UTC, as logs and explanations are. */
static size_t put_change(char *line, const struct nigh_change *c)
{
    static const char *const kinds[] = {"", "key", "tag", "space", "all"};
    struct timespec t;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    char *to = line + strftime(line, 16, "%H:%M:%S", &utc);
    to += sprintf(to, ".%03ldZ node %04x %s%s", t.tv_nsec / 1000000, (unsigned)(c->node >> 48),
                  c->soft ? "soft " : "", kinds[c->kind]);
    to = put_name(stpcpy(to, c->space_len > 0 ? " " : ""), c->space, c->space_len);
    to = put_name(stpcpy(to, c->name_len > 0 ? " \"" : ""), c->name, c->name_len);
    to = stpcpy(to, c->name_len > 0 ? "\"\n" : "\n");
    return (size_t)(to - line);
}

static void hear_change(void *arg, const struct nigh_change *c)
{
    char line[LINE_BYTES];
    size_t len = put_change(line, c);
    (void)arg;
    pthread_mutex_lock(&waiting.lock);
    if (len <= sizeof(waiting.text) - waiting.len && waiting.left_out == 0) {
        memcpy(waiting.text + waiting.len, line, len);
        waiting.len += len;
    } else {
        waiting.left_out++;
    }
    pthread_mutex_unlock(&waiting.lock);
}

/* Writes for as long as the terminal takes, or until a signal ends the program: that is why no more
 * is written at a time than a pipe takes without waiting. */
static bool write_out(const char *text, size_t len)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    while (len > 0 && !redis_ended) {
        if (poll(&out, 1, PAUSE_MS) <= 0)
            continue;
        ssize_t n = write(STDOUT_FILENO, text, len < PIPE_BUF ? len : PIPE_BUF);
        bool later = n < 0 && (errno == EINTR || errno == EAGAIN); /* who shares it made it so */
        if (n < 0 && !later)
            redis_fail("what was to be written is lost", strerror(errno));
        if (n < 0 && !later)
            return false;
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return len == 0;
}

/* Writes what waits. False: that cannot be done any more. */
static bool write_waiting(void)
{
    static char text[WAITING_BYTES];
    char more[80] = "";
    pthread_mutex_lock(&waiting.lock);
    size_t len = waiting.len;
    uint64_t left_out = waiting.left_out;
    memcpy(text, waiting.text, len);
    waiting.len = 0;
    waiting.left_out = 0;
    pthread_mutex_unlock(&waiting.lock);
    if (left_out > 0)
        sprintf(more, "%" PRIu64 " change%s left out: the output was too slow\n", left_out,
                left_out == 1 ? " is" : "s are");
    return write_out(text, len) && write_out(more, strlen(more));
}

/* Says when changes were lost that the log in Redis has no more. */
static bool look_for_loss(const struct redis_node *n, int64_t *resyncs)
{
    static const char lost[] = "changes were lost: anything may have changed\n";
    int64_t now = nigh_stats_value(n->cache, NULL, "resync");
    bool any = now > *resyncs;
    *resyncs = now;
    return !any || write_out(lost, strlen(lost));
}

/* Says once when what came was no frame: nothing that a node does brings that about. */
static void look_for_others(const struct redis_node *n, bool *told)
{
    if (*told || nigh_stats_value(n->cache, NULL, "frame_bad") <= 0)
        return;
    fprintf(stderr, "nigh: note: another program, or another version of nigh, publishes on the "
                    "channel of the prefix %s: that is left out\n", n->prefix);
    *told = true;
}

/* Says when Redis is not there, for then nothing comes, and when it is again. */
static void look_for_redis(const struct redis_node *n, bool *there)
{
    bool now = nigh_health(n->cache) == NIGH_FRESH;
    if (now && !*there)
        fprintf(stderr, "nigh: note: Redis is back\n");
    if (!now && *there)
        redis_say_problem(n);
    *there = now;
}

/* Looks whether a node has come to the prefix. Its first changes may have come before this program
 * knew of it, which then says so. False: that cannot be written. */
static bool look_for_node(const struct redis_node *n, bool *waits)
{
    char line[100];
    int64_t count = nigh_stats_value(n->cache, NULL, "sequence");
    *waits = nigh_health(n->cache) != NIGH_FRESH;
    if (*waits)
        return true;
    fprintf(stderr, "nigh: note: a node uses the prefix %s now\n", n->prefix);
    sprintf(line, "changes before this program could hear them: up to %" PRId64 "\n", count);
    return count == 0 || write_out(line, strlen(line));
}

/* Says which node each process is that the sockets lead to: changes bear the node alone. */
static void say_nodes(const struct tool_args *args)
{
    struct line_answer answers[TOOL_SOCKETS_MAX];
    lines_ask(args->sockets, args->socket_count, "version", args->timeout_ms, answers);
    for (size_t i = 0; i < args->socket_count; i++) {
        unsigned node, process;
        if (answers[i].text &&
            sscanf(answers[i].text, "nigh %*[^,], process %u, node %x", &process, &node) == 2)
            fprintf(stderr, "nigh: node %04x is process %u, %s\n", node, process, args->sockets[i]);
        free(answers[i].text);
    }
}

/* Returns what may be shown of a URI: the part behind a login. */
static const char *place_of(const char *uri)
{
    const char *at = strrchr(uri, '@');
    return at ? at + 1 : uri;
}

/* Returns how long to watch yet. */
static unsigned left_ms(const struct tool_args *args, long long began_ms)
{
    long long left = args->once ? began_ms + args->timeout_ms - line_now_ms() : UINT_MAX;
    return left > 0 ? (unsigned)left : 0;
}

/* Opens the node, again and again where nobody uses the prefix: whoever watches may come first. It
 * is nobody's still where the time is over. */
static int open_patiently(const struct tool_args *args, long long began_ms, struct nigh_options *o,
                          struct redis_node *n)
{
    int status = redis_open_with(args, o, n);
    n->waits = status == 0 && redis_is_nobodys(n);
    if (status == 0)
        redis_look_at_prefix(n);
    while (status == 0 && redis_is_nobodys(n) && !redis_ended &&
           left_ms(args, began_ms) > REDIS_NOBODYS_MS) {
        nigh_close(n->cache);
        *n = (struct redis_node){.waits = true};
        status = redis_open_with(args, o, n);
    }
    return status;
}

/* Opens the node at the Redis that is named, or at that of the first process. */
static int open_watch(const struct tool_args *args, long long began_ms, struct redis_node *n)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    int status = args->redis ? redis_take_conf(args, &o) : redis_take_from_process(args, &o);
    if (status == 0)
        status = open_patiently(args, began_ms, &o, n);
    if (status != 0 || args->redis)
        return status;
    fprintf(stderr, "nigh: watching %s, prefix %s\n", place_of(o.redis_uri), o.redis_prefix);
    say_nodes(args);
    return 0;
}

int redis_watch(const struct tool_args *args)
{
    struct redis_node n = {.cache = NULL};
    const struct timespec pause = {.tv_nsec = REDIS_LOOK_MS * 1000000L};
    long long began_ms = line_now_ms();
    end_by_signals();
    int status = open_watch(args, began_ms, &n);
    if (status != 0)
        return status;
    int64_t resyncs = nigh_stats_value(n.cache, NULL, "resync");
    bool there = true, told = false, writes = true;
    int rc = nigh_watch(n.cache, hear_change, NULL);
    if (rc != 0)
        status = redis_fail(nigh_strerror(rc), "");
    while (rc == 0 && writes && !redis_ended && left_ms(args, began_ms) > 0) {
        nanosleep(&pause, NULL);
        if (n.waits)
            writes = look_for_node(&n, &n.waits);
        if (n.waits)
            continue;
        look_for_redis(&n, &there);
        look_for_others(&n, &told);
        writes = writes && look_for_loss(&n, &resyncs) && write_waiting();
    }
    nigh_close(n.cache);
    return writes || redis_ended ? status : TOOL_REFUSED;
}
