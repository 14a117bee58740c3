// SPDX-License-Identifier: MIT
// A connection: bytes out, replies in, and the handshake between connect and use.
//
// The output is one growing buffer, so that whatever has been queued leaves in one write. It is
// given back when a large value has passed.

#include "l2/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "l2/answer.h"
#include "l2/command.h"
#include "l2/info.h"
#include "l2/needs.h"
#include "l2/script.h"

#define READ_BYTES 16384u
#define READS_MAX 64 /* in one go: a flood must not keep the thread from everything else */
#define OUT_MIN_BYTES 4096u
#define OUT_KEEP_BYTES (256u << 10)
#define COMMAND_ROOM_BYTES 512u
#define CLIENT_NAME "nigh"
#define LIMIT_NAME "proto-max-bulk-len"

enum step {
    STEP_AUTH,
    STEP_HELLO,
    STEP_SELECT,
    STEP_NAME,
    STEP_INFO,
    STEP_NEEDS,
    STEP_LIMIT,
    STEP_PING
};

/* Steps as people know them, and the rights that they take. */
static const struct {
    const char *name;
    const char *right;
} steps[] = {
    [STEP_AUTH] = {"AUTH", "auth"},     [STEP_HELLO] = {"HELLO", "hello"},
    [STEP_SELECT] = {"SELECT", "select"}, [STEP_NAME] = {"CLIENT SETNAME", "client|setname"},
    [STEP_INFO] = {"INFO", "info"},     [STEP_NEEDS] = {"EVAL", "eval"},
    [STEP_LIMIT] = {"CONFIG GET", "config|get"}, [STEP_PING] = {"PING", "ping"},
};

void conn_init(struct conn *c, const struct conn_config *config)
{
    *c = (struct conn){.config = config};
}

/* ---- output ---- */

static void wipe(struct conn *c)
{
    if (c->has_secret && c->out)
        explicit_bzero(c->out, c->out_size);
}

static void out_free(struct conn *c)
{
    wipe(c);
    mem_free(c->config->env->mem, NULL, c->out, c->out_size);
    c->out = NULL;
    c->out_at = c->out_len = c->out_size = 0;
}

static int out_grow(struct conn *c, size_t len)
{
    size_t used = c->out_len - c->out_at;
    size_t size = c->out_size ? c->out_size : OUT_MIN_BYTES;
    while (size < used + len)
        size *= 2;
    char *grown = mem_alloc(c->config->env->mem, NULL, size);
    if (!grown)
        return NIGH_ENOMEM;
    if (used > 0)
        memcpy(grown, c->out + c->out_at, used);
    out_free(c);
    c->out = grown;
    c->out_len = used;
    c->out_size = size;
    return 0;
}

int conn_append(struct conn *c, const void *data, size_t len)
{
    if (c->out_size - c->out_len < len && out_grow(c, len))
        return NIGH_ENOMEM;
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
    return 0;
}

static bool is_transient(long error)
{
    return error == -EAGAIN || error == -EWOULDBLOCK || error == -EINTR;
}

/* Leaves out what follows this text. */
static struct bytes up_to(struct bytes words, const char *text)
{
    const char *at = words.len ? memmem(words.data, words.len, text, strlen(text)) : NULL;
    return at ? bytes_of(words.data, (size_t)(at - (const char *)words.data)) : words;
}

/* Leaves out what a server repeats of a command that it does not know: of AUTH, where that was
 * renamed or is a later version's, it is the password. Of a script it adds the digest, and the line
 * that has failed, which say nothing to people: ". script: 6b5d ..., on @user_script:149." */
static struct bytes for_people(struct bytes words)
{
    words = up_to(words, ", with args beginning with");
    struct bytes whole = words;
    words = up_to(words, ", on @user_script");
    size_t tail = strlen(" script: ") + SCRIPT_SHA1_BYTES;
    if (words.len == whole.len || words.len < tail)
        return whole;
    const char *text = words.data;
    size_t len = words.len - tail;
    if (memcmp(text + len, " script: ", strlen(" script: ")) != 0)
        return whole;
    return bytes_of(text, len > 0 && text[len - 1] == '.' ? len - 1 : len);
}

/* Returns how many bytes of a text fit: of one that is too long whole sentences, if it has some. */
static size_t fitting(struct bytes words, size_t size)
{
    const char *text = words.data;
    if (words.len < size)
        return words.len;
    for (size_t len = size - 1; len > 1; len--)
        if (text[len - 1] == '.' && text[len] == ' ')
            return len;
    return size - 1;
}

/* Copies a server's words, which go into logs and reports of the host's: no line ends, nothing but
 * ASCII. */
static void copy_words(char *text, size_t size, struct bytes words)
{
    words = for_people(words);
    size_t len = fitting(words, size);
    const char *from = words.data;
    for (size_t i = 0; i < len; i++)
        text[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    text[len] = '\0';
}

void conn_problem(struct conn *c, const char *what, struct bytes words)
{
    char text[CONN_WORDS_BYTES];
    copy_words(text, sizeof(text), words);
    snprintf(c->problem, sizeof(c->problem), "%s%s", what, text);
}

/* Whether a server over TCP has gone before it said anything, as one does that wants TLS. */
static bool is_shy(const struct conn *c, long error)
{
    return c->state == CONN_HANDSHAKE && c->stream && c->step_at == 0 && c->place->port != 0 &&
           c->config->stream == &stream_plain &&
           (error == 0 || error == -ECONNRESET || error == -EPIPE);
}

static const char *text_of(const struct conn *c, long error)
{
    if (error == STREAM_FAILED)
        return c->stream->problem;
    if (is_shy(c, error))
        return "closed by the server before a word (a port for TLS? then rediss://)";
    return error < 0 ? strerrordesc_np((int)-error) : "closed by the server";
}

/* Returns the name of the command that the server has to answer next, if that is of the handshake,
 * or the channel's; else NULL. */
static const char *awaited(const struct conn *c)
{
    bool shakes = c->state == CONN_HANDSHAKE && c->step_at < c->step_count;
    return shakes ? steps[c->steps[c->step_at]].name : c->asked;
}

static int lost(struct conn *c, const char *what, long error)
{
    const char *asked = error == 0 && c->stream && !is_shy(c, error) ? awaited(c) : NULL;
    if (c->words[0])
        snprintf(c->problem, sizeof(c->problem), "closed by the server, which said: %s", c->words);
    else if (asked)
        snprintf(c->problem, sizeof(c->problem), "closed by the server instead of an answer to %s",
                 asked);
    else
        snprintf(c->problem, sizeof(c->problem), "%s: %s", what, text_of(c, error));
    return NIGH_EOFFLINE;
}

/* Makes poll_fd watch the socket for what the stream waits for: that wakes whoever sleeps there. */
static int watch(struct conn *c)
{
    if (c->config->poll_fd < 0)
        return 0;
    uint32_t waits = conn_waits(c);
    uint32_t wanted = (waits & L2_FOR_INPUT ? EPOLLIN : 0) | (waits & L2_FOR_ROOM ? EPOLLOUT : 0);
    if (c->watched == wanted)
        return 0;
    struct epoll_event event = {.events = wanted};
    int op = c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(c->config->poll_fd, op, conn_fd(c), &event) != 0)
        return lost(c, "epoll_ctl", -errno);
    c->watched = wanted;
    return 0;
}

/* Ends the watch, before the close: that would not, while a child of fork() holds the socket. */
static void unwatch(struct conn *c)
{
    if (c->watched)
        epoll_ctl(c->config->poll_fd, EPOLL_CTL_DEL, conn_fd(c), NULL);
    c->watched = 0;
}

/* Goes on with what has to be agreed on. 1: the stream may be used; 0: not yet; < 0: it failed. */
static int agree(struct conn *c)
{
    if (!c->agrees)
        return 1;
    int got = c->config->stream->agree(c->stream);
    c->agrees = got <= 0;
    return got < 0 ? lost(c, c->config->stream->agreement, got) : got;
}

int conn_flush(struct conn *c)
{
    if (c->seeks)
        return 0;
    int agreed = agree(c);
    if (agreed <= 0)
        return agreed < 0 ? agreed : watch(c);
    while (conn_wants_write(c)) {
        long n = stream_write(c->stream, c->out + c->out_at, c->out_len - c->out_at);
        if (n < 0 && is_transient(n)) {
            c->full = true;
            return watch(c);
        }
        if (n < 0)
            return lost(c, "write", n);
        c->out_at += (size_t)n;
        if (c->full)
            c->wrote_ns = clock_now_ns(c->config->env->clock);
    }
    c->full = false;
    c->out_at = c->out_len = 0;
    wipe(c);
    c->has_secret = false;
    if (c->out_size > OUT_KEEP_BYTES)
        out_free(c);
    return watch(c);
}

/* ---- handshake ---- */

int conn_command(struct conn *c, const struct bytes *args, uint32_t count)
{
    struct command command;
    struct mem *mem = c->config->env->mem;
    struct command_wire wire;
    char room[COMMAND_ROOM_BYTES];
    command_init(&command, mem, room, sizeof(room));
    for (uint32_t i = 0; i < count; i++)
        command_bytes(&command, args[i]);
    if (command_finish(&command, &wire))
        return NIGH_ENOMEM;
    int failed = conn_append(c, wire.data, wire.len);
    command_wire_free(mem, &wire);
    return failed;
}

static int send_step(struct conn *c, enum step step, const struct bytes *args, uint32_t count)
{
    c->steps[c->step_count++] = (uint8_t)step;
    return conn_command(c, args, count);
}

/* Appends an argument in the form of the wire. */
static int append_word(struct conn *c, const char *word)
{
    char head[24];
    size_t len = strlen(word);
    int head_len = snprintf(head, sizeof(head), "$%zu\r\n", len);
    int failed = conn_append(c, head, (size_t)head_len);
    failed = failed ? failed : conn_append(c, word, len);
    return failed ? failed : conn_append(c, "\r\n", 2);
}

int conn_log_in(struct conn *c, const struct login_words *words)
{
    c->has_secret = true;
    int failed = conn_append(c, words->user[0] ? "*3\r\n" : "*2\r\n", 4);
    failed = failed ? failed : append_word(c, "AUTH");
    if (words->user[0])
        failed = failed ? failed : append_word(c, words->user);
    return failed ? failed : append_word(c, words->password);
}

static int send_auth(struct conn *c)
{
    struct login *login = c->config->login;
    struct login_words words;
    c->login_number = 0;
    if (!login_is_wanted(login))
        return 0;
    login_take(login, &words);
    c->login_number = words.number;
    c->steps[c->step_count++] = STEP_AUTH;
    int failed = words.number ? conn_log_in(c, &words) : NIGH_EOFFLINE;
    login_wipe(&words);
    if (c->login_number == 0)
        conn_problem(c, "there is no password to log in with", bytes_of("", 0));
    return failed;
}

static int send_select(struct conn *c)
{
    char db[8];
    if (c->config->db == 0)
        return 0;
    int len = snprintf(db, sizeof(db), "%u", c->config->db);
    const struct bytes args[] = {bytes_of("SELECT", 6), bytes_of(db, (size_t)len)};
    return send_step(c, STEP_SELECT, args, 2);
}

static int send_name(struct conn *c)
{
    const struct bytes name[] = {bytes_of("CLIENT", 6), bytes_of("SETNAME", 7),
                                 bytes_of_string(CLIENT_NAME)};
    return send_step(c, STEP_NAME, name, 3);
}

static int send_hello(struct conn *c)
{
    const struct bytes hello[] = {bytes_of("HELLO", 5), bytes_of("2", 1)};
    return c->says_hello ? send_step(c, STEP_HELLO, hello, 2) : 0;
}

static int send_needs(struct conn *c)
{
    struct bytes args[NEEDS_ARGS_MAX];
    uint32_t count = c->names ? needs_question(c->names, args) : 0;
    return count ? send_step(c, STEP_NEEDS, args, count) : 0;
}

/* Asks a server what it is, and what it has. */
static int send_questions(struct conn *c)
{
    const struct bytes info[] = {bytes_of("INFO", 4), bytes_of("replication", 11),
                                 bytes_of("cluster", 7), bytes_of("memory", 6),
                                 bytes_of("stats", 5)};
    const struct bytes limit[] = {bytes_of("CONFIG", 6), bytes_of("GET", 3),
                                  bytes_of_string(LIMIT_NAME)};
    int failed = send_step(c, STEP_INFO, info, c->whole_info ? 1 : 5);
    failed = failed ? failed : send_needs(c);
    if (c->asks_limit) /* not before: an ACL that forbids CONFIG logs each attempt */
        failed = failed ? failed : send_step(c, STEP_LIMIT, limit, 3);
    return failed;
}

static int send_handshake(struct conn *c)
{
    const struct bytes ping[] = {bytes_of("PING", 4)};
    int failed = send_auth(c);
    failed = failed ? failed : send_hello(c);
    failed = failed ? failed : send_select(c);
    failed = failed ? failed : send_name(c);
    if (c->config->peer == CONN_SERVER)
        failed = failed ? failed : send_questions(c);
    return failed ? failed : send_step(c, STEP_PING, ping, 1);
}

static int learn_role(struct conn *c, const struct reply *reply)
{
    struct bytes info = reply->type == REPLY_STRING ? reply->bytes : bytes_of("", 0);
    struct bytes replid;
    const char *wrong = info_judge(info, &replid);
    if (wrong) {
        conn_problem(c, wrong, bytes_of("", 0));
        return NIGH_EOFFLINE;
    }
    c->home = hash_bytes(replid);
    memcpy(c->replid, replid.data, REPLID_BYTES);
    c->server = (struct l2_server){.whole_info = c->whole_info};
    info_memory(info, &c->server);
    c->server.advice[ADVICE_ON_REPLICAS] =
        c->config->may_move ? info_advice_on_replicas(info) : NULL;
    return 0;
}

/* Whether the server has the commands that we need. */
static int learn_needs(struct conn *c, const struct reply *reply)
{
    const char **advice = &c->server.advice[ADVICE_ON_COMMANDS];
    const uint8_t *clock = needs_clock(reply);
    *advice = NULL;
    if (clock)
        c->mark = (struct l2_mark){.identity = answer_clock_identity(c->replid, clock),
                                   .sequence = get_le64(clock + 8),
                                   .after_ns = c->opened_ns};
    return needs_are_met(reply, c->problem, sizeof(c->problem), advice) ? 0 : NIGH_EOFFLINE;
}

static int learn_limit(struct conn *c, const struct reply *reply)
{
    char digits[24];
    struct bytes value = reply_string_at(reply, 1, SIZE_MAX);
    if (reply->type == REPLY_ARRAY && value.data) {
        copy_words(digits, sizeof(digits), value);
        c->limit = strtoull(digits, NULL, 10);
    }
    return 0; /* any reply will do: we only wanted to know */
}

static bool bytes_contain(struct bytes b, const char *text)
{
    return memmem(b.data, b.len, text, strlen(text)) != NULL;
}

/* Ends the handshake for an error where none may be. */
static int refuse_step(struct conn *c, enum step step, const struct reply *reply)
{
    char what[64];
    const char *name = steps[step].name;
    if (step == STEP_SELECT && bytes_contain(reply->bytes, "cluster mode")) {
        /* INFO would say so, and comes later */
        conn_problem(c, info_cluster_node, bytes_of("", 0));
        return NIGH_EOFFLINE;
    }
    bool unknown = bytes_contain(reply->bytes, "unknown command") ||
                   bytes_contain(reply->bytes, "unsupported command");
    if (reply_is_error(reply, "NOPERM") && bytes_contain(reply->bytes, "to run"))
        snprintf(what, sizeof(what), "%s (give this user +%s): ", name, steps[step].right);
    else
        snprintf(what, sizeof(what), "%s%s: ", name, unknown ? " (renamed, or a proxy?)" : "");
    conn_problem(c, what, reply->bytes);
    c->whole_info = c->whole_info || (step == STEP_INFO && reply_is_error(reply, "ERR"));
    return NIGH_EOFFLINE;
}

/* Whether an error to this step is none of the connection's: a courtesy to the operator, which an
 * ACL may forbid; a wish for RESP2, which the next reply shows whether it was needed; or a server
 * that is busy, or full. */
static bool may_fail(enum step step, const struct reply *reply)
{
    bool refused = reply_is_error(reply, "NOPERM") || reply_is_error(reply, "ERR");
    bool wish = step == STEP_NAME || step == STEP_LIMIT || step == STEP_HELLO;
    return wish || (step == STEP_NEEDS && !refused);
}

/* Tells the login whether its password was right. */
static void note_login(struct conn *c, const struct reply *reply)
{
    c->refused = reply->type == REPLY_ERROR;
    if (c->refused)
        login_refused(c->config->login, c->login_number, c->heard_ns);
    else
        login_accepted(c->config->login, c->login_number);
}

/* Checks the reply to a step. 0: the connection may go on. */
static int check_step(struct conn *c, enum step step, const struct reply *reply)
{
    if (step == STEP_AUTH)
        note_login(c, reply);
    if (reply->type == REPLY_ERROR)
        return may_fail(step, reply) ? 0 : refuse_step(c, step, reply);
    if (step == STEP_LIMIT)
        return learn_limit(c, reply);
    if (step == STEP_INFO)
        return learn_role(c, reply);
    if (step == STEP_NEEDS)
        return learn_needs(c, reply);
    if (reply->type == REPLY_STATUS || step == STEP_NAME || step == STEP_HELLO)
        return 0;
    snprintf(c->problem, sizeof(c->problem), "%s: unexpected reply", steps[step].name);
    return NIGH_EREDIS;
}

static int handshake_reply(struct conn *c, struct reply *reply)
{
    int failed = check_step(c, (enum step)c->steps[c->step_at], reply);
    reply_free(reply);
    if (failed || ++c->step_at < c->step_count)
        return failed;
    c->state = CONN_UP;
    lookup_worked(c->place->lookup);
    return 0;
}

uint64_t conn_handshake_deadline_ns(const struct conn *c)
{
    return c->opened_ns + c->config->connect_timeout_ns;
}

/* ---- life ---- */

/* Finds the address to connect to. 1: here it is; 0: not yet; < 0: there is none. */
static int find_place(struct conn *c, char address[L2_ADDRESS_BYTES], const char **ret_place)
{
    int got = place_find(c->place, clock_now_ns(c->config->env->clock), address, ret_place);
    if (got != -ENOENT)
        return got < 0 ? lost(c, "look-up of the host's name", got) : got;
    snprintf(c->problem, sizeof(c->problem), "there is no host of this name");
    return NIGH_EOFFLINE;
}

static int go_on(struct conn *c)
{
    const struct l2_net *net = c->config->net;
    char address[L2_ADDRESS_BYTES];
    const char *place;
    int got = find_place(c, address, &place);
    if (got <= 0)
        return got;
    int fd = net->connect(net->arg, place, c->place->port);
    if (fd < 0) {
        lookup_failed(c->place->lookup);
        return lost(c, "connect", fd);
    }
    c->stream = stream_open(c->config->stream, c->config->env->mem, net, c->place->host, fd);
    if (!c->stream)
        return NIGH_ENOMEM;
    c->agrees = c->config->stream->agree != NULL;
    c->seeks = false;
    return send_handshake(c);
}

int conn_seek(struct conn *c)
{
    int failed = c->seeks ? go_on(c) : 0;
    if (failed)
        conn_close(c);
    return failed;
}

int conn_open(struct conn *c, struct place *place)
{
    const struct conn_config *config = c->config;
    snprintf(c->problem, sizeof(c->problem), "out of memory"); /* unless told otherwise */
    int failed = reader_init(&c->reader, config->env->mem, config->bulk_max);
    if (failed)
        return failed;
    c->step_count = c->step_at = 0;
    c->words[0] = '\0';
    c->asked = NULL;
    c->refused = false;
    c->limit = 0;
    c->mark.identity = 0;
    c->opened_ns = c->heard_ns = c->wrote_ns = clock_now_ns(config->env->clock);
    c->place = place_hold(place);
    c->state = CONN_HANDSHAKE;
    c->seeks = true;
    c->full = false;
    return conn_seek(c);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    unwatch(c);
    if (c->state == CONN_HANDSHAKE && !c->seeks)
        lookup_failed(c->place->lookup);
    if (c->stream)
        stream_close(c->stream, c->config->env->mem);
    place_drop(c->place);
    c->place = NULL;
    c->stream = NULL;
    c->seeks = c->agrees = false;
    c->state = CONN_CLOSED;
    reader_fini(&c->reader);
    out_free(c);
}

void conn_disown(struct conn *c)
{
    if (c->stream)
        stream_disown(c->stream, c->config->env->mem);
    c->stream = NULL;
    c->watched = 0;
    snprintf(c->problem, sizeof(c->problem), "%s",
             "somebody has closed its descriptor: there is no redis from here on; "
             "open the cache after that");
}

void conn_abandon(struct conn *c, bool cut)
{
    if (cut)
        c->config->net->cut(c->config->net->arg, c->stream->fd);
    c->stream = NULL;
    c->watched = 0;
    snprintf(c->problem, sizeof(c->problem), "a caller stood still while it had the connection");
}

/* ---- input ---- */

static void note_words(struct conn *c, const struct reply *reply)
{
    bool error = reply->type == REPLY_ERROR && !reply_is_error(reply, "NOSCRIPT");
    copy_words(c->words, sizeof(c->words), error ? reply->bytes : bytes_of("", 0));
}

static int hand_out(struct conn *c, struct reply *reply, conn_reply_fn on_reply, void *arg)
{
    note_words(c, reply);
    int failed = c->state == CONN_UP ? on_reply(arg, reply) : handshake_reply(c, reply);
    c->began_ns = c->heard_ns;
    return failed;
}

/* Hand out the replies that need no parser. 1: all; 0: data[*ret_at ..] is for the parser. */
static int take_usual(struct conn *c, const char *data, size_t len, conn_reply_fn on_reply,
                      void *arg, size_t *ret_at)
{
    struct reply *reply;
    for (*ret_at = 0; *ret_at < len;) {
        long got = reader_take(&c->reader, data + *ret_at, len - *ret_at, &reply);
        if (got <= 0)
            return (int)got;
        *ret_at += (size_t)got;
        int failed = hand_out(c, reply, on_reply, arg);
        if (failed)
            return failed;
    }
    return 1;
}

/* Whether these first bytes of a connection are of no Redis: another service, or a proxy's page.
 * What comes later is not shown to anybody, for it may be of a value. */
static bool is_foreign(const struct conn *c, struct bytes first)
{
    return c->state == CONN_HANDSHAKE && c->step_at == 0 && first.len > 0 &&
           !memchr("+-:$*", *(const char *)first.data, 5) && !c->reader.is_resp3;
}

/* Says what is wrong with a reply. A server that speaks RESP3, or a proxy before it, is asked for
 * RESP2 in the next handshakes. */
static void note_malformed(struct conn *c, struct bytes first)
{
    if (is_foreign(c, first)) {
        char begin[41];
        copy_words(begin, sizeof(begin), up_to(first, "\r\n"));
        snprintf(c->problem, sizeof(c->problem), "no Redis answers there, but what says \"%s\"",
                 begin);
        return;
    }
    const char *what = !c->reader.is_resp3 ? "a reply is malformed or too large"
                       : c->says_hello     ? "a reply in RESP3, although it was asked for RESP2"
                                           : "a reply in RESP3: from now on it is asked for RESP2";
    snprintf(c->problem, sizeof(c->problem), "%s", what);
    c->says_hello = c->says_hello || c->reader.is_resp3;
}

/* Hand out every reply that is complete. `first`: what the oldest of them begins with, if no part
 * of it had come before. */
static int read_replies(struct conn *c, struct bytes first, conn_reply_fn on_reply, void *arg)
{
    struct reply *reply;
    int got;
    while ((got = reader_next(&c->reader, &reply)) > 0) {
        int failed = hand_out(c, reply, on_reply, arg);
        if (failed)
            return failed;
    }
    if (got == NIGH_EREDIS) {
        note_malformed(c, first);
        stats_count(c->config->stats, STATS_L2_BAD_REPLY);
    }
    return got;
}

int conn_take(struct conn *c, const char *data, long n, conn_reply_fn on_reply, void *arg)
{
    if (n < 0 && is_transient(n))
        return 0;
    if (n <= 0)
        return lost(c, "read", n);
    c->heard_ns = clock_now_ns(c->config->env->clock);
    if (c->reader.pending == 0)
        c->began_ns = c->heard_ns;
    size_t at;
    int done = take_usual(c, data, (size_t)n, on_reply, arg, &at);
    if (done != 0)
        return done < 0 ? done : 0;
    struct bytes rest = bytes_of(data + at, (size_t)n - at);
    struct bytes first = bytes_of(data + at, c->reader.pending == 0 ? rest.len : 0);
    int failed = reader_feed(&c->reader, rest.data, rest.len);
    return failed ? failed : read_replies(c, first, on_reply, arg);
}

int conn_read(struct conn *c, conn_reply_fn on_reply, void *arg)
{
    char chunk[READ_BYTES];
    int agreed = agree(c);
    if (agreed <= 0)
        return agreed < 0 ? agreed : watch(c);
    for (int i = 0; i < READS_MAX; i++) {
        long n = stream_read(c->stream, chunk, sizeof(chunk));
        int failed = conn_take(c, chunk, n, on_reply, arg);
        if (failed)
            return failed;
        if (n < (long)sizeof(chunk) && !c->stream->holds)
            break;
    }
    return watch(c); /* bytes that are left, or come later, make the socket ready, or are held */
}

void conn_last_words(struct conn *c, conn_reply_fn on_reply, void *arg)
{
    if (c->state != CONN_CLOSED && conn_read(c, on_reply, arg) == 0 && c->words[0])
        lost(c, "", 0);
}
