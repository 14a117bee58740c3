// SPDX-License-Identifier: MIT
/*
 * A client: its line comes in, its answer goes out, within their times.
 *
 * Nothing of it is read while an answer is on its way: what it sends meanwhile stays in the kernel,
 * and fills no memory of ours. A line is looked for in what came last only, but for one that is
 * whole: 64 KiB in single bytes cost 64 Ki looks at one byte.
 *
 * The times count from the beginning of a line and of an answer, not from the last byte: who sends
 * a byte a second gets no more time than who sends none.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/server.h"

#define IN_FIRST 1024u

static const char prompt[] = "> ";

/* ---- descriptors ---- */

struct control_fd control_fd_of(int fd)
{
    struct stat file = {0};
    if (fd >= 0)
        fstat(fd, &file);
    return (struct control_fd){fd, file.st_ino};
}

bool control_fd_is_same(const struct control_fd *f)
{
    struct stat file;
    return f->fd >= 0 && fstat(f->fd, &file) == 0 && file.st_ino == f->inode &&
           S_ISSOCK(file.st_mode);
}

void control_fd_close(struct control_fd *f)
{
    if (control_fd_is_same(f))
        close(f->fd);
    f->fd = -1;
}

/* ---- its end ---- */

void client_drop(struct control *c, struct client *client)
{
    if (client->state == CLIENT_NONE)
        return;
    if (control_fd_is_same(&client->fd))
        shutdown(client->fd.fd, SHUT_RDWR); /* also for a child of fork() that has it open */
    control_fd_close(&client->fd);
    mem_free(c->env->mem, NULL, client->in, client->in_size);
    control_reply_free(&client->out);
    *client = (struct client){.state = CLIENT_NONE};
}

/* ---- answering ---- */

bool clients_are_full(const struct control *c)
{
    size_t waiting = 0;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        waiting += c->clients[i].out.size;
    return waiting > CONTROL_REPLY_BYTES;
}

static void watch(struct control *c, struct client *client, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(client - c->clients)};
    if (epoll_ctl(c->poll_fd, EPOLL_CTL_MOD, client->fd.fd, &event) != 0)
        client_drop(c, client);
}

void client_hold(struct control *c, struct client *client, uint64_t now_ns)
{
    client->held = true;
    client->until_ns = now_ns + c->take_ns; /* by then who keeps it waiting is dropped */
    watch(c, client, 0);
}

static void send_out(struct control *c, struct client *client, uint64_t now_ns)
{
    if (client->prompts && !client->closes)
        control_reply_add(&client->out, bytes_of(prompt, sizeof(prompt) - 1));
    client->sent = 0;
    client->state = CLIENT_WRITES;
    client->until_ns = now_ns + c->take_ns;
    watch(c, client, EPOLLOUT);
}

static void reads_on(struct control *c, struct client *client, uint64_t now_ns)
{
    client->state = CLIENT_READS;
    bool may_idle = client->prompts && c->accepts; /* nobody waits for its place */
    client->until_ns = now_ns + (may_idle ? CONTROL_PROMPT_NS : c->line_ns);
    watch(c, client, EPOLLIN);
}

static bool is_word(struct bytes word, const char *text)
{
    return bytes_equal(word, bytes_of_string(text));
}

/* Answers what is about the connection itself. False: it is not. */
static bool answer_own(struct client *client, const struct control_request *q)
{
    if (q->count == 1 && is_word(q->words[0], "prompt")) {
        client->prompts = true;
        client->closes = false;
    } else if (q->count == 1 && is_word(q->words[0], "quit")) {
        client->closes = true;
    } else {
        return false;
    }
    return true;
}

static void answer(struct control *c, struct client *client, char *line, size_t len,
                   uint64_t now_ns)
{
    struct control_request q = {.words = c->words, .uid = client->uid, .pid = client->pid};
    const char *wrong = control_words(line, len, c->words, CONTROL_WORDS_MAX, &q.count);
    if (!client->prompts)
        client->closes = true;
    if (wrong) {
        control_error(&client->out, "%s", wrong);
    } else if (q.count > 0 && answer_own(client, &q)) {
        send_out(c, client, now_ns); /* no answer but the prompt */
        return;
    } else if (q.count > 0) {
        c->host.answer(c->host.arg, &q, &client->out);
        now_ns = clock_kernel_ns(CLOCK_MONOTONIC);
    } else if (!client->prompts) {
        control_error(&client->out, "a command is wanted: help lists them");
    }
    if (q.count > 0 || client->out.len > 0)
        control_reply_end(&client->out);
    send_out(c, client, now_ns);
}

/* ---- lines ---- */

/* Answers the first line, if it is whole, or the stream has ended behind it. */
static void take_line(struct control *c, struct client *client, size_t from, uint64_t now_ns)
{
    char *end = client->in_len > from ? memchr(client->in + from, '\n', client->in_len - from)
                                      : NULL;
    if (!end && client->ended && client->in_len > 0)
        end = client->in + client->in_len; /* `in` has a byte more */
    if (!end && client->ended) {
        client_drop(c, client);
        return;
    }
    if (!end && client->in_len >= CONTROL_LINE_BYTES) {
        control_error(&client->out, "a line has at most %u bytes", CONTROL_LINE_BYTES);
        client->closes = true;
        control_reply_end(&client->out);
        send_out(c, client, now_ns);
        return;
    }
    if (!end)
        return;
    size_t len = (size_t)(end - client->in);
    size_t took = u64_min(len + 1, client->in_len);
    answer(c, client, client->in, len - (len > 0 && end[-1] == '\r'), now_ns);
    if (client->state == CLIENT_NONE)
        return;
    client->in_len -= took;
    memmove(client->in, client->in + took, client->in_len);
}

static bool make_room(struct control *c, struct client *client)
{
    if (client->in_len + 1 < client->in_size)
        return true;
    size_t size = u64_min(u64_max(2 * client->in_size, IN_FIRST), CONTROL_LINE_BYTES + 1);
    char *in = mem_alloc(c->env->mem, NULL, size);
    if (!in)
        return false;
    if (client->in_len > 0)
        memcpy(in, client->in, client->in_len);
    mem_free(c->env->mem, NULL, client->in, client->in_size);
    client->in = in;
    client->in_size = size;
    return true;
}

static void read_more(struct control *c, struct client *client, uint64_t now_ns)
{
    size_t from = client->in_len;
    if (!make_room(c, client)) {
        client_drop(c, client);
        return;
    }
    ssize_t n = recv(client->fd.fd, client->in + from, client->in_size - 1 - from, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_drop(c, client);
        return;
    }
    if (from == 0)
        client->until_ns = now_ns + c->line_ns; /* a line begins */
    client->ended = n == 0;
    client->in_len += (size_t)n;
    take_line(c, client, from, now_ns);
}

void client_go_on(struct control *c, struct client *client, uint64_t now_ns)
{
    client->held = false;
    client->until_ns = now_ns + c->line_ns;
    watch(c, client, EPOLLIN);
    if (client->state == CLIENT_READS && client->in_len > 0)
        take_line(c, client, 0, now_ns);
}

/* ---- sending ---- */

static void sent_all(struct control *c, struct client *client, uint64_t now_ns)
{
    if (client->closes || (client->ended && client->in_len == 0)) {
        client_drop(c, client);
        return;
    }
    control_reply_free(&client->out);
    reads_on(c, client, now_ns);
    if (client->state != CLIENT_READS || client->in_len == 0)
        return;
    if (clients_are_full(c))
        client_hold(c, client, now_ns);
    else
        take_line(c, client, 0, now_ns); /* one may have come with the last */
}

static void write_more(struct control *c, struct client *client, uint64_t now_ns)
{
    while (client->sent < client->out.len) {
        ssize_t n = send(client->fd.fd, client->out.text + client->sent,
                         client->out.len - client->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            client_drop(c, client);
            return;
        }
        client->sent += (size_t)n;
    }
    sent_all(c, client, now_ns);
}

void client_step(struct control *c, struct client *client, uint32_t ready, uint64_t now_ns)
{
    if (client->state == CLIENT_NONE)
        return;
    bool late = !ready && now_ns >= client->until_ns;
    if (late || !control_fd_is_same(&client->fd)) {
        client_drop(c, client);
        return;
    }
    if (!ready)
        return;
    if (client->state == CLIENT_READS)
        read_more(c, client, now_ns);
    if (client->state == CLIENT_WRITES)
        write_more(c, client, now_ns);
}

/* ---- its beginning ---- */

void client_begin(struct control *c, struct client *client, int fd, uint64_t now_ns)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof(peer);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(client - c->clients)};
    *client = (struct client){.state = CLIENT_READS, .fd = control_fd_of(fd),
                              .until_ns = now_ns + c->line_ns, .out.mem = c->env->mem};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
        epoll_ctl(c->poll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        client_drop(c, client);
        return;
    }
    client->uid = peer.uid;
    client->pid = peer.pid;
    if (peer.uid == geteuid() || peer.uid == 0)
        return;
    control_error(&client->out, "only the user of the process, and root, may ask here");
    client->closes = true;
    control_reply_end(&client->out);
    send_out(c, client, now_ns);
}
