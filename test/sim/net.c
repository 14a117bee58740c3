// SPDX-License-Identifier: MIT
// Connections are two queues of segments that arrive in order, each at its time. A server reads
// what has arrived, answers command after command, and stands still while it is paused.
//
// Wake-ups: the library's eventfds are made here as well (the linker wraps eventfd, read, write and
// close), so that nothing of a schedule is a system call.

#include "sim/net.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sim/judge.h"

#define FD_FIRST (1 << 20)      /* above all real ones */
#define WAKE_FIRST (1 << 24)    /* descriptors of wake-ups */
#define FDS_MAX 65536
#define ARGS_MAX 20000

struct segment {
    uint64_t at_ns;
    bool end; /* closed after it */
    bool reset;
    struct buffer data;
    struct segment *next;
};

struct way {
    struct segment *first, **last;
    uint64_t last_at_ns;
};

struct link {
    int fd, node, server;
    bool client_open, server_open;
    bool ended, was_reset;  /* the client has got the end */
    struct way up, down;
    struct buffer request;  /* what the server has not parsed yet */
    struct buffer in;       /* what the client has not read yet */
    struct session session;
    char channels[4][160];  /* subscribed to */
    unsigned channel_count;
    struct chance chance;
    struct link *next;
};

static struct {
    struct link *links;
    struct link *by_fd[FDS_MAX];
    int fd_count, wake_count;
    bool woken[FDS_MAX];
    uint64_t seed;
    uint64_t usual_ns, slow_ns, late_ns;
    unsigned slow_percent;
    int routes[SIM_NODES_MAX];
    bool stopping[SIM_NODES_MAX];
    uint64_t blocked_until[SIM_NODES_MAX][SERVERS][2]; /* up, down */
    uint64_t deaf_until[SIM_NODES_MAX];
    int nodes[SIM_NODES_MAX];
    struct l2_net nets[SIM_NODES_MAX];
} n;

static struct link *link_of(int fd)
{
    return fd >= FD_FIRST && fd < FD_FIRST + n.fd_count ? n.by_fd[fd - FD_FIRST] : NULL;
}

/* ---- ways ---- */

static uint64_t travel_ns(struct link *l)
{
    if (n.slow_percent && chance_percent(&l->chance, n.slow_percent))
        return chance_below(&l->chance, n.slow_ns);
    return 20 * SIM_US + chance_below(&l->chance, n.usual_ns);
}

static void put(struct link *l, struct way *w, const void *data, size_t len, bool end, bool reset,
                event_fn arrive)
{
    struct segment *s = calloc(1, sizeof(*s));
    buffer_add(&s->data, data, len);
    s->end = end;
    s->reset = reset;
    uint64_t late_ns = w == &l->down ? n.late_ns : 0;
    s->at_ns = u64_max(w->last_at_ns, world_now() + late_ns + travel_ns(l));
    w->last_at_ns = s->at_ns;
    if (!w->first)
        w->last = &w->first;
    *w->last = s;
    w->last = &s->next;
    world_at(s->at_ns, arrive, l, 0);
}

static void segment_drop(struct way *w)
{
    struct segment *s = w->first;
    w->first = s->next;
    buffer_free(&s->data);
    free(s);
}

/* The next segment, if it is here by now; else it will be asked for again. */
static struct segment *arrived(struct link *l, struct way *w, event_fn arrive)
{
    struct segment *s = w->first;
    if (!s || s->at_ns > world_now())
        return NULL;
    uint64_t until_ns = n.blocked_until[l->node][l->server][w == &l->down];
    if (until_ns <= world_now())
        return s;
    world_at(until_ns + chance_below(&l->chance, 2 * SIM_MS), arrive, l, 0);
    return NULL;
}

/* ---- to the client ---- */

static void arrive_down(void *arg, uint64_t number)
{
    struct link *l = arg;
    struct segment *s;
    (void)number;
    while ((s = arrived(l, &l->down, arrive_down))) {
        if (!l->ended)
            buffer_add(&l->in, s->data.data, s->data.len);
        l->ended |= s->end;
        l->was_reset |= s->reset;
        segment_drop(&l->down);
        if (l->client_open)
            task_wake_fd(l->fd);
    }
}

static void send_down(struct link *l, const void *data, size_t len)
{
    if (l->server_open)
        put(l, &l->down, data, len, false, false, arrive_down);
}

static void server_closes(struct link *l, bool reset)
{
    if (!l->server_open)
        return;
    put(l, &l->down, NULL, 0, true, reset, arrive_down);
    l->server_open = false;
}

/* ---- the server's side ---- */

static void subscribe(struct link *l, const struct bytes *argv, uint32_t argc, struct buffer *out)
{
    for (uint32_t i = 1; i < argc; i++) {
        if (l->channel_count < ARRAY_COUNT(l->channels))
            snprintf(l->channels[l->channel_count++], sizeof(l->channels[0]), "%.*s",
                     (int)argv[i].len, (const char *)argv[i].data);
        resp_array(out, 3);
        resp_text(out, "subscribe");
        resp_bulk(out, argv[i].data, argv[i].len);
        resp_number(out, l->channel_count);
    }
}

static void run_command(struct link *l, const struct bytes *argv, uint32_t argc)
{
    struct buffer out = {0};
    if (command_is(argv[0], "SUBSCRIBE")) {
        subscribe(l, argv, argc, &out);
    } else if (command_is(argv[0], "PING") && l->channel_count) {
        resp_array(&out, 2);
        resp_text(&out, "pong");
        resp_text(&out, "");
    } else {
        command_run(&l->session, argv, argc, &out);
    }
    send_down(l, out.data, out.len);
    buffer_free(&out);
}

/* The next whole command of what has arrived: its length; 0: it is not all there. */
static size_t parse(const struct buffer *b, struct bytes *argv, uint32_t *ret_argc)
{
    const char *at = b->data, *end = b->data + b->len;
    if (b->len < 4)
        return 0;
    const char *line = memchr(at, '\n', b->len);
    if (!line)
        return 0;
    uint32_t argc = (uint32_t)strtoul(at + 1, NULL, 10);
    if (*at != '*' || argc > ARGS_MAX)
        abort();
    at = line + 1;
    for (uint32_t i = 0; i < argc; i++) {
        line = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!line)
            return 0;
        size_t len = strtoul(at + 1, NULL, 10);
        at = line + 1 + len + 2;
        if (at > end)
            return 0;
        argv[i] = bytes_of(line + 1, len);
    }
    *ret_argc = argc;
    return (size_t)(at - b->data);
}

static void serve(struct link *l)
{
    static struct bytes argv[ARGS_MAX];
    uint32_t argc;
    size_t done = 0;
    struct buffer rest = l->request;
    size_t len;
    while (l->server_open && (len = parse(&rest, argv, &argc)) > 0) {
        run_command(l, argv, argc);
        rest.data += len;
        rest.len -= len;
        done += len;
    }
    buffer_drop(&l->request, done);
}

static void arrive_up(void *arg, uint64_t number)
{
    struct link *l = arg;
    struct server *s = &servers[l->server];
    struct segment *segment;
    (void)number;
    if (s->paused_until_ns > world_now()) {
        world_at(s->paused_until_ns + chance_below(&l->chance, SIM_MS), arrive_up, l, 0);
        return;
    }
    while ((segment = arrived(l, &l->up, arrive_up))) {
        bool end = segment->end;
        if (l->server_open)
            buffer_add(&l->request, segment->data.data, segment->data.len);
        segment_drop(&l->up);
        if (l->server_open)
            serve(l);
        if (end)
            server_closes(l, false);
    }
}

unsigned net_publish(struct server *s, struct bytes channel, struct bytes payload)
{
    unsigned count = 0;
    judge_published(s, channel, payload);
    for (struct link *l = n.links; l; l = l->next) {
        if (l->server != s->index || !l->server_open)
            continue;
        for (unsigned i = 0; i < l->channel_count; i++) {
            if (!bytes_equal(bytes_of_string(l->channels[i]), channel))
                continue;
            count++;
            if (n.deaf_until[l->node] > world_now())
                continue;
            struct buffer out = {0};
            resp_array(&out, 3);
            resp_text(&out, "message");
            resp_bulk(&out, channel.data, channel.len);
            resp_bulk(&out, payload.data, payload.len);
            send_down(l, out.data, out.len);
            buffer_free(&out);
        }
    }
    return count;
}

/* ---- the node's side: struct l2_net ---- */

static int node_connect(void *arg, const char *place, uint16_t port)
{
    int node = *(int *)arg;
    int server = n.routes[node];
    (void)place, (void)port;
    if (n.fd_count == FDS_MAX)
        return -EMFILE;
    struct link *l = calloc(1, sizeof(*l));
    int fd = FD_FIRST + n.fd_count;
    *l = (struct link){.fd = fd, .node = node, .server = server, .client_open = true,
                       .server_open = true, .next = n.links};
    l->chance.state = chance_mix(n.seed, (uint64_t)n.fd_count * 1000 + (uint64_t)node);
    l->session = (struct session){.server = &servers[server], .link = l, .node = node};
    l->up.last = &l->up.first;
    l->down.last = &l->down.first;
    n.by_fd[n.fd_count++] = l;
    n.links = l;
    if (servers[server].down)
        server_closes(l, true);
    return fd;
}

static long node_read(void *arg, int fd, void *buffer, size_t size)
{
    struct link *l = link_of(fd);
    (void)arg;
    if (l->in.len == 0)
        return !l->ended ? -EAGAIN : l->was_reset ? -ECONNRESET : 0;
    size_t len = u64_min(size, l->in.len);
    memcpy(buffer, l->in.data, len);
    buffer_drop(&l->in, len);
    return (long)len;
}

static long node_write(void *arg, int fd, const void *data, size_t size)
{
    struct link *l = link_of(fd);
    (void)arg;
    if (l->was_reset)
        return -ECONNRESET;
    put(l, &l->up, data, size, false, false, arrive_up);
    return (long)size;
}

static void node_close(void *arg, int fd)
{
    struct link *l = link_of(fd);
    (void)arg;
    l->client_open = false;
    put(l, &l->up, NULL, 0, true, false, arrive_up);
}

static bool is_readable(const struct link *l)
{
    return l && (l->in.len > 0 || l->ended);
}

static int node_wait(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns)
{
    int node = *(int *)arg;
    struct link *l = link_of(fd);
    struct task *t = task_current();
    bool *woken = &n.woken[wake_fd - WAKE_FIRST];
    (void)events;
    if (t && !n.stopping[node] && !is_readable(l) && !*woken && wait_ns > 0) {
        t->fd = fd;
        t->wake_fd = wake_fd;
        task_wait(wait_ns == CLOCK_NEVER_NS ? CLOCK_NEVER_NS : world_now() + wait_ns);
    }
    return (is_readable(l) ? L2_NET_READY : 0) | (*woken ? L2_NET_WOKEN : 0);
}

/* ---- wake-ups ---- */

int __wrap_eventfd(unsigned value, int flags);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);
int __wrap_close(int fd);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __real_read(int fd, void *data, size_t size);
int __real_close(int fd);

static bool is_wake(int fd)
{
    return fd >= WAKE_FIRST && fd < WAKE_FIRST + n.wake_count;
}

int __wrap_eventfd(unsigned value, int flags)
{
    (void)value, (void)flags;
    n.woken[n.wake_count] = false;
    return WAKE_FIRST + n.wake_count++;
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (!is_wake(fd))
        return __real_write(fd, data, size);
    n.woken[fd - WAKE_FIRST] = true;
    task_wake_fd(fd);
    return (ssize_t)size;
}

ssize_t __wrap_read(int fd, void *data, size_t size)
{
    if (!is_wake(fd))
        return __real_read(fd, data, size);
    n.woken[fd - WAKE_FIRST] = false;
    return (ssize_t)size;
}

int __wrap_close(int fd)
{
    return is_wake(fd) ? 0 : __real_close(fd);
}

/* ---- faults ---- */

void net_route(int node, int server)
{
    n.routes[node] = server;
}

int net_routed(int node)
{
    return n.routes[node];
}

/* The client learns at once. What it had sent arrives, or some of it, or nothing. */
static void cut(struct link *l)
{
    if (!l->server_open || !l->client_open)
        return;
    bool arrives = chance_percent(&l->chance, 50);
    while (l->up.first && !arrives)
        segment_drop(&l->up);
    while (l->down.first)
        segment_drop(&l->down);
    l->ended = l->was_reset = true;
    if (!arrives)
        l->server_open = false;
    task_wake_fd(l->fd);
}

void net_cut(int node, int server)
{
    for (struct link *l = n.links; l; l = l->next)
        if (l->node == node && (server < 0 || l->server == server))
            cut(l);
}

void net_cut_server(int server)
{
    for (struct link *l = n.links; l; l = l->next) {
        if (l->server != server)
            continue;
        while (l->up.first)
            segment_drop(&l->up);
        cut(l);
        l->server_open = false;
    }
}

void net_block(int node, int server, enum net_way way, uint64_t until_ns)
{
    uint64_t *until = n.blocked_until[node][server];
    if (way & NET_UP)
        until[0] = u64_max(until[0], until_ns);
    if (way & NET_DOWN)
        until[1] = u64_max(until[1], until_ns);
}

void net_deaf(int node, uint64_t until_ns)
{
    n.deaf_until[node] = u64_max(n.deaf_until[node], until_ns);
}

void net_set_delay(uint64_t usual_ns, unsigned slow_percent, uint64_t slow_ns)
{
    n.usual_ns = usual_ns;
    n.slow_percent = slow_percent;
    n.slow_ns = slow_ns;
}

void net_set_late(uint64_t late_ns)
{
    n.late_ns = late_ns;
}

void net_stop(int node)
{
    n.stopping[node] = true;
    task_wake_node(node);
}

bool net_elsewhere(int node, int server)
{
    for (struct link *l = n.links; l; l = l->next)
        if (l->node == node && l->server != server && l->client_open && !l->ended)
            return true;
    return false;
}

/* ---- life ---- */

const struct l2_net *net_of(int node)
{
    n.nodes[node] = node;
    n.nets[node] = (struct l2_net){NULL, node_connect, node_read, node_write, node_close, node_wait,
                                   NULL, NULL, &n.nodes[node]};
    return &n.nets[node];
}

void net_init(uint64_t seed)
{
    n.seed = chance_mix(seed, 2);
    n.fd_count = n.wake_count = 0;
    memset(n.routes, 0, sizeof(n.routes));
    memset(n.stopping, 0, sizeof(n.stopping));
    memset(n.blocked_until, 0, sizeof(n.blocked_until));
    memset(n.deaf_until, 0, sizeof(n.deaf_until));
    net_set_delay(200 * SIM_US, 0, 0);
    net_set_late(0);
}

void net_fini(void)
{
    while (n.links) {
        struct link *l = n.links;
        n.links = l->next;
        while (l->up.first)
            segment_drop(&l->up);
        while (l->down.first)
            segment_drop(&l->down);
        buffer_free(&l->request);
        buffer_free(&l->in);
        free(l);
    }
}
