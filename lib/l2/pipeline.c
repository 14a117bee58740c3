// SPDX-License-Identifier: MIT
// Automatic pipelining: requests of all threads, one write for whatever has gathered, replies in
// order.
//
// Deadlines cost nothing per request: `next_deadline_ns` is a lower bound of all deadlines, kept
// by each send; when it has passed, one walk over the pending requests answers those that are
// late and computes the bound anew. So there is at most one walk per shortest deadline in use.
//
// Evidence. The breaker wants to know how long the server takes; what we see is how long a request
// was under way. The difference is time in which we were waiting for ourselves:
//
//   - while the oldest request without a reply is one of ours that is large: its way, and the
//     script that runs over it, take as long as we made them (way_ns(), and no longer);
//   - while a reply is coming in: its bytes show that the server has answered;
//   - while we are at work ourselves for OWN_NS or longer, copying a value of 64 MiB, say: what the
//     server has answered meanwhile lies in the socket (pipeline_note_own()).
//
// Replies come in order, so at any moment exactly one request is the next to be answered, and the
// time during which it is the next is either excused or not. The sum of what was excused is kept
// (`excused_ns`); the server has to answer for a request's time under way less the growth of that
// sum. A server that is late for everybody is so for the small ones, too: however many requests are
// on the wire, each is next for a short time only, so the few large ones among them excuse little.
// Time that is excused twice counts twice: the breaker hears one verdict less, not a wrong one.
//
// `done` is called with no lock held and may submit again. Lists are detached before they are
// walked with callbacks in between.

#include "l2/client.h"

#include <stdio.h>

/* A request of this size takes a slow link, or a script, long enough to make those behind it wait:
 * a tenth of a second at 1 Mbit/s. Ordinary requests have some hundred bytes. */
#define LARGE_BYTES (16u << 10)

/* Our own work is excused if it takes this long; a round of small requests takes a hundredth. */
#define OWN_NS (2 * NS_PER_MS)

/* A patient request's deadline is put off until bytes have not moved for so long. */
#define MOVES_NS NS_PER_S

/* ---- requests ---- */

static void request_done(struct l2 *l2, struct request *r)
{
    limits_remove(l2, r->wire_len);
    request_end(r);
}

/* Give the answer away, with nothing in it but the status. */
static void hand(struct l2 *l2, struct request *r, int status)
{
    struct answer *a = r->answer;
    r->answer = NULL;
    a->public.status = status;
    if (r->done) {
        if (status == NIGH_ETIMEDOUT)
            stats_count(l2->stats, STATS_L2_TIMEOUT);
        r->done(r->arg, &a->public);
        if (r->lent)
            waiter_answer(l2, r, NULL);
    } else if (!waiter_answer(l2, r, &a->public)) {
        l2_answer_free(&a->public);
    }
}

/* Gives the answer away, with what is known of the server. The request may have no answer left:
 * then nobody waits any more. */
static void give(struct l2 *l2, struct request *r, int status)
{
    struct answer *a = r->answer;
    if (!a)
        return;
    a->public.connection = l2->connections;
    a->public.home = l2->conn.home;
    a->public.order = ++l2->answers;
    hand(l2, r, status);
}

bool pipeline_awaits_large(const struct l2 *l2)
{
    for (const struct request *r = l2->pending.head; r; r = r->next)
        if (r->wire_len > LIMITS_ARGUMENT_LEAST)
            return true;
    return false;
}

/* ---- I/O thread ---- */

/* Returns how much of the time since the last reply was no fault of the server's. */
static uint64_t excused_now_ns(const struct l2 *l2, bool coming_in, uint64_t now_ns)
{
    const struct request *next = l2->pending.head;
    if (next && next->wire_len >= LARGE_BYTES)
        return u64_min(now_ns - l2->awaited_ns, way_ns(next->wire_len));
    return coming_in ? now_ns - u64_max(l2->conn.began_ns, l2->awaited_ns) : 0;
}

/* Returns all that is excused so far. */
static uint64_t excused_ns(const struct l2 *l2, uint64_t now_ns)
{
    return l2->excused_ns + excused_now_ns(l2, l2->conn.reader.pending > 0, now_ns);
}

void pipeline_note_own(struct l2 *l2, uint64_t own_ns)
{
    if (own_ns >= OWN_NS)
        l2->excused_ns += own_ns;
}

/* Returns a request's time under way that is not excused; `excused` is the sum by now. */
static uint64_t unexcused_ns(const struct request *r, uint64_t excused, uint64_t now_ns)
{
    uint64_t late_ns = now_ns - r->sent_ns;
    return late_ns - u64_min(late_ns, excused - r->excused_ns);
}

/* Makes the reader put the next reply into the block of its request. No other reply can get there:
 * one that is partly here belongs to the oldest request, which stays the oldest until the reply is
 * whole, and the reader ends before the requests do (lose() in io.c). */
static void use_room(struct l2 *l2)
{
    struct request *next = l2->pending.head;
    if (next)
        reader_use_room(&l2->conn.reader, next->room + next->reply_at,
                        REQUEST_ROOM - next->reply_at);
    else
        reader_use_room(&l2->conn.reader, NULL, 0);
}

static void push_pending(struct l2 *l2, struct request *r)
{
    request_list_push(&l2->pending, r);
    l2->callers += r->holds_caller;
    l2->most = l2->callers > l2->most ? l2->callers : l2->most;
}

void pipeline_sent(struct l2 *l2, struct request *r, uint64_t now_ns)
{
    bool is_next = !l2->pending.head;
    if (is_next)
        l2->awaited_ns = now_ns;
    r->sent_ns = now_ns;
    r->excused_ns = excused_ns(l2, now_ns);
    push_pending(l2, r);
    l2->next_deadline_ns = u64_min(l2->next_deadline_ns, r->deadline_ns);
    if (is_next)
        use_room(l2);
    stats_count(l2->stats, STATS_L2_REQUEST);
}

/* Appends a request to the output. It is pending from here on: part of it may reach the server. */
static int send_one(struct l2 *l2, struct request *r, uint64_t now_ns)
{
    int failed = conn_append(&l2->conn, r->wire.data, r->wire_len);
    pipeline_sent(l2, r, now_ns);
    if (!r->script) /* a script's bytes are kept: Redis may not know the script */
        command_wire_free(l2->env->mem, &r->wire);
    return failed;
}

int pipeline_send(struct l2 *l2)
{
    struct request_list batch;
    struct request *r;
    int failed = 0;
    pthread_mutex_lock(&l2->lock);
    request_list_move(&batch, &l2->queue);
    pthread_mutex_unlock(&l2->lock);
    uint64_t now_ns = batch.count ? clock_now_ns(l2->env->clock) : 0;
    while ((r = request_list_pop(&batch)))
        failed = send_one(l2, r, now_ns) ? NIGH_ENOMEM : failed;
    return failed;
}

/* Send a script by its text: Redis has forgotten, or never knew, its digest. */
static int send_text(struct l2 *l2, struct request *r)
{
    static const char by_digest[] = "$7\r\nEVALSHA\r\n$40\r\n";
    char head[64];
    const char *count_end = memchr(r->wire.data, '\n', r->wire_len);
    size_t count_len = (size_t)(count_end - r->wire.data) + 1;
    size_t rest = count_len + sizeof(by_digest) - 1 + SCRIPT_SHA1_BYTES;
    int len = snprintf(head, sizeof(head), "$4\r\nEVAL\r\n$%zu\r\n", r->script->text.len);
    int failed = conn_append(&l2->conn, r->wire.data, count_len);
    failed = failed ? failed : conn_append(&l2->conn, head, (size_t)len);
    failed = failed ? failed : conn_append(&l2->conn, r->script->text.data, r->script->text.len);
    failed = failed ? failed : conn_append(&l2->conn, r->wire.data + rest, r->wire_len - rest);
    push_pending(l2, r);
    use_room(l2);
    return failed;
}

/* Learns that an argument of this request was too large. The next handshake tells the limit, if we
 * may ask. */
static void learn_argument(struct l2 *l2, const struct request *r)
{
    limits_learn(l2, r->wire_len);
    l2->conn.asks_limit = true;
}

/* Whether an error means that this server cannot, or can no longer, serve us. */
static bool is_fatal(const struct reply *reply)
{
    static const char *const codes[] = {"READONLY", "NOREPLICAS", "MASTERDOWN",
                                        "LOADING",  "NOAUTH",     "NOMASTERLINK"};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++)
        if (reply_is_error(reply, codes[i]))
            return true;
    return false;
}

/* Whether these are the server's last words before it closes: this request was too large for it. */
static bool is_too_large(const struct reply *reply)
{
    static const char words[] = "ERR Protocol error: invalid bulk length";
    size_t len = sizeof(words) - 1;
    return reply->type == REPLY_ERROR && reply->bytes.len >= len &&
           memcmp(reply->bytes.data, words, len) == 0;
}

/* Whether an error speaks of the server rather than of the request. */
static bool is_sick(const struct reply *reply)
{
    return reply_is_error(reply, "BUSY") || reply_is_error(reply, "MISCONF") ||
           reply_is_error(reply, "TRYAGAIN") || reply_is_error(reply, "CLUSTERDOWN");
}

/* Judges the server by a reply that has come: a quick one speaks for it, a late one against it, but
 * only if it was the server that took the time. */
static void judge(struct l2 *l2, struct request *r, bool served, uint64_t now_ns)
{
    uint64_t slow_ns = breaker_slow_ns(&l2->breaker);
    bool quick = now_ns - r->sent_ns < slow_ns;
    l2->excused_ns += excused_now_ns(l2, true, now_ns);
    l2->awaited_ns = now_ns;
    if (r->judged)
        return;
    r->judged = true;
    if (!served || quick || unexcused_ns(r, l2->excused_ns, now_ns) >= slow_ns)
        health_judge(l2, served && quick, now_ns);
}

/* Whether the server refuses MGET as such: the user has no permission for it, or it goes by another
 * name. GET is tried then, and says what else may be wrong. */
static bool is_of_many(const struct request *r, const struct reply *reply)
{
    return r->decode == answer_decode_many &&
           (reply_is_error(reply, "NOPERM") || reply_is_error(reply, "ERR"));
}

/* Takes an error reply. < 0: the connection has to go. */
static int take_error(struct l2 *l2, struct request *r, const struct reply *reply)
{
    bool fatal = is_fatal(reply);
    if (is_too_large(reply))
        learn_argument(l2, r);
    if (fatal)
        conn_problem(&l2->conn, "", reply->bytes);
    else if (is_of_many(r, reply))
        atomic_store_explicit(&l2->many_refused, l2->connections, memory_order_relaxed);
    else if (!reply_is_error(reply, "NOSCRIPT")) /* gets here when nobody waits any more */
        health_refused(l2);
    give(l2, r, fatal ? NIGH_EOFFLINE : NIGH_EREDIS);
    return fatal ? NIGH_EOFFLINE : 0;
}

/* Notes the server's replid, if it is another than when it was asked last: a server that was made a
 * replica, and a master again, may have another's data. */
static void note_server(struct l2 *l2, const struct l2_clock *clock)
{
    if (!clock->replid.data || clock->home == l2->conn.home)
        return;
    l2->conn.home = clock->home;
    memcpy(l2->conn.replid, clock->replid.data, REPLID_BYTES);
    pthread_mutex_lock(&l2->lock);
    memcpy(l2->replid, clock->replid.data, REPLID_BYTES);
    pthread_mutex_unlock(&l2->lock);
}

/*
 * Takes a reply, which should answer the request. < 0: it does not, and no later reply can be
 * trusted: the replies may be shifted by one, because somebody else wrote into our socket. A script
 * is known by its number; a value of another key, which a GET before it may have got, is known by
 * its envelope.
 */
static int take_answer(struct l2 *l2, struct request *r, struct reply *reply)
{
    int status = r->script && !answer_is_to(reply, r->number) ? NIGH_EREDIS : 0;
    if (r->answer && status == 0) {
        r->answer->replid = l2->conn.replid;
        status = r->decode(r->answer, reply);
    }
    if (r->answer && status == 0) {
        r->answer->reply = reply;
        if (r->script)
            health_served(l2);
        note_server(l2, &r->answer->public.clock);
    } else {
        reply_free(reply);
    }
    if (r->answer && status != 0) {
        r->answer->public.value = bytes_of(NULL, 0);
        r->answer->public.clock.replid = bytes_of(NULL, 0);
        r->answer->public.entry_count = 0;
    }
    give(l2, r, status);
    if (status != NIGH_EREDIS)
        return 0;
    stats_count(l2->stats, STATS_L2_BAD_REPLY);
    snprintf(l2->conn.problem, sizeof(l2->conn.problem), "a reply is not what was asked for");
    return NIGH_EREDIS;
}

int pipeline_reply(void *arg, struct reply *reply)
{
    struct l2 *l2 = arg;
    uint64_t now_ns = l2->conn.heard_ns;
    int failed = 0;
    if (!l2->pending.head) { /* Redis says goodbye like this: maxclients, a protocol error, ... */
        bool words = reply->type == REPLY_ERROR;
        conn_problem(&l2->conn, words ? "" : "a reply that nobody asked for",
                     words ? reply->bytes : bytes_of("", 0));
        reply_free(reply);
        return NIGH_EREDIS;
    }
    judge(l2, l2->pending.head, !is_sick(reply), now_ns);
    struct request *r = request_list_pop(&l2->pending);
    l2->callers -= r->holds_caller;
    use_room(l2);
    if (r->script && r->answer && reply_is_error(reply, "NOSCRIPT")) {
        reply_free(reply);
        return send_text(l2, r);
    }
    bool wrong_type = !r->script && reply_is_error(reply, "WRONGTYPE");
    if (reply->type == REPLY_ERROR && !wrong_type) {
        failed = take_error(l2, r, reply);
        reply_free(reply);
    } else {
        failed = take_answer(l2, r, reply);
        l2->proven = true;
    }
    request_done(l2, r);
    return failed;
}

/* The deadline of a pending request has passed. If its wait is excused so far, the verdict is left
 * to its reply. */
static void expire_one(struct l2 *l2, struct request *r, uint64_t now_ns)
{
    uint64_t under_way_ns = unexcused_ns(r, excused_ns(l2, now_ns), now_ns);
    if (!r->judged && under_way_ns >= breaker_slow_ns(&l2->breaker)) {
        r->judged = true;
        health_judge(l2, false, now_ns);
    }
    give(l2, r, NIGH_ETIMEDOUT);
}

/* Returns when a pending request ends: a patient one not while bytes move. Replies come in order,
 * so bytes that come in belong to its reply, or to one before it. */
static uint64_t deadline_of(const struct l2 *l2, const struct request *r)
{
    uint64_t moves_ns = conn_moved_ns(&l2->conn) + MOVES_NS;
    return r->patient ? u64_max(r->deadline_ns, moves_ns) : r->deadline_ns;
}

void pipeline_expire(struct l2 *l2, uint64_t now_ns)
{
    if (now_ns < l2->next_deadline_ns)
        return;
    uint64_t next_ns = CLOCK_NEVER_NS, slow_ns = breaker_slow_ns(&l2->breaker);
    /* Callbacks may submit, which touches the queue, never this list. */
    for (struct request *r = l2->pending.head; r; r = r->next) {
        uint64_t deadline_ns = deadline_of(l2, r);
        if (deadline_ns <= now_ns)
            expire_one(l2, r, now_ns);
        else
            next_ns = u64_min(next_ns, deadline_ns);
        /* the server is judged when it is slow, not when a caller is impatient */
        if (!r->judged && deadline_ns <= now_ns && r->sent_ns + slow_ns > now_ns)
            next_ns = u64_min(next_ns, r->sent_ns + slow_ns);
    }
    l2->next_deadline_ns = next_ns;
    waiter_wake_all(l2);
}

void pipeline_time_out(struct l2 *l2, struct request_list *late)
{
    struct request *r;
    while ((r = request_list_pop(late))) {
        hand(l2, r, NIGH_ETIMEDOUT);
        request_done(l2, r);
    }
    waiter_wake_all(l2);
}

void pipeline_fail(struct l2 *l2, int status)
{
    struct request_list lost[2];
    struct request *r;
    pthread_mutex_lock(&l2->lock);
    request_list_move(&lost[1], &l2->queue);
    pthread_mutex_unlock(&l2->lock);
    request_list_move(&lost[0], &l2->pending);
    l2->callers = 0;
    l2->next_deadline_ns = CLOCK_NEVER_NS;
    for (size_t i = 0; i < ARRAY_COUNT(lost); i++) {
        while ((r = request_list_pop(&lost[i]))) {
            give(l2, r, status);
            request_done(l2, r);
        }
    }
    waiter_wake_all(l2);
}
