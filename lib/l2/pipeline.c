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

static void request_done(struct link *link, struct request *r)
{
    limits_remove(link, r->wire_len);
    request_end(r);
}

void pipeline_hand(struct link *link, struct request *r, int status)
{
    struct answer *a = r->answer;
    r->answer = NULL;
    a->public.status = status;
    if (r->done) {
        if (status == NIGH_ETIMEDOUT)
            stats_count(link->stats, STATS_L2_TIMEOUT);
        r->done(r->arg, &a->public);
        if (r->lent)
            waiter_answer(link, r, NULL);
    } else if (!waiter_answer(link, r, &a->public)) {
        l2_answer_free(&a->public);
    }
}

/* Gives the answer away, with what is known of the server. The request may have no answer left:
 * then nobody waits any more. */
static void give(struct link *link, struct request *r, int status)
{
    struct answer *a = r->answer;
    if (!a)
        return;
    a->public.connection = link->connections;
    a->public.home = link->conn.home;
    a->public.order = ++link->answers;
    pipeline_hand(link, r, status);
}

bool pipeline_awaits_large(const struct link *link)
{
    for (const struct request *r = link->pending.head; r; r = r->next)
        if (r->wire_len > LIMITS_ARGUMENT_LEAST)
            return true;
    return false;
}

/* ---- I/O thread ---- */

/* Returns how much of the time since the last reply was no fault of the server's. */
static uint64_t excused_now_ns(const struct link *link, bool coming_in, uint64_t now_ns)
{
    const struct request *next = link->pending.head;
    if (next && next->wire_len >= LARGE_BYTES)
        return u64_min(now_ns - link->awaited_ns, way_ns(next->wire_len));
    return coming_in ? now_ns - u64_max(link->conn.began_ns, link->awaited_ns) : 0;
}

/* Returns all that is excused so far. */
static uint64_t excused_ns(const struct link *link, uint64_t now_ns)
{
    return link->excused_ns + excused_now_ns(link, link->conn.reader.pending > 0, now_ns);
}

void pipeline_note_own(struct link *link, uint64_t own_ns)
{
    if (own_ns >= OWN_NS)
        link->excused_ns += own_ns;
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
static void use_room(struct link *link)
{
    struct request *next = link->pending.head;
    if (next)
        reader_use_room(&link->conn.reader, next->room + next->reply_at,
                        REQUEST_ROOM - next->reply_at);
    else
        reader_use_room(&link->conn.reader, NULL, 0);
}

static void push_pending(struct link *link, struct request *r)
{
    request_list_push(&link->pending, r);
    link->callers += r->holds_caller;
    link->most = link->callers > link->most ? link->callers : link->most;
}

void pipeline_sent(struct link *link, struct request *r, uint64_t now_ns)
{
    bool is_next = !link->pending.head;
    if (is_next)
        link->awaited_ns = now_ns;
    r->sent_ns = now_ns;
    r->excused_ns = excused_ns(link, now_ns);
    push_pending(link, r);
    link->next_deadline_ns = u64_min(link->next_deadline_ns, r->deadline_ns);
    if (is_next)
        use_room(link);
    stats_count(link->stats, STATS_L2_REQUEST);
}

int pipeline_await(struct link *link, l2_done_fn done, answer_decode_fn decode, uint64_t now_ns)
{
    struct command unused;
    struct request *r = request_create(link->l2->pool, link->env->mem, &unused);
    if (!r)
        return NIGH_ENOMEM;
    r->done = done;
    r->arg = link;
    r->decode = decode;
    r->deadline_ns = CLOCK_NEVER_NS; /* that of the connection: a silent server loses it */
    limits_add(link, 0);
    pipeline_sent(link, r, now_ns);
    return 0;
}

/* Appends a request to the output. It is pending from here on: part of it may reach the server. */
static int send_one(struct link *link, struct request *r, uint64_t now_ns)
{
    int failed = conn_append(&link->conn, r->wire.data, r->wire_len);
    pipeline_sent(link, r, now_ns);
    if (!r->script) /* a script's bytes are kept: Redis may not know the script */
        command_wire_free(link->env->mem, &r->wire);
    return failed;
}

int pipeline_send(struct link *link)
{
    struct request_list batch;
    struct request *r;
    int failed = 0;
    pthread_mutex_lock(&link->lock);
    request_list_move(&batch, &link->queue);
    pthread_mutex_unlock(&link->lock);
    uint64_t now_ns = batch.count ? clock_now_ns(link->env->clock) : 0;
    while ((r = request_list_pop(&batch)))
        failed = send_one(link, r, now_ns) ? NIGH_ENOMEM : failed;
    return failed;
}

/* Send a script by its text: Redis has forgotten, or never knew, its digest. */
static int send_text(struct link *link, struct request *r)
{
    static const char by_digest[] = "$7\r\nEVALSHA\r\n$40\r\n";
    char head[64];
    const char *count_end = memchr(r->wire.data, '\n', r->wire_len);
    size_t count_len = (size_t)(count_end - r->wire.data) + 1;
    size_t rest = count_len + sizeof(by_digest) - 1 + SCRIPT_SHA1_BYTES;
    int len = snprintf(head, sizeof(head), "$4\r\nEVAL\r\n$%zu\r\n", r->script->text.len);
    int failed = conn_append(&link->conn, r->wire.data, count_len);
    failed = failed ? failed : conn_append(&link->conn, head, (size_t)len);
    failed = failed ? failed : conn_append(&link->conn, r->script->text.data, r->script->text.len);
    failed = failed ? failed : conn_append(&link->conn, r->wire.data + rest, r->wire_len - rest);
    push_pending(link, r);
    use_room(link);
    return failed;
}

/* Learns that an argument of this request was too large. The next handshake tells the limit, if we
 * may ask. */
static void learn_argument(struct link *link, const struct request *r)
{
    limits_learn(link, r->wire_len);
    link->conn.asks_limit = true;
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
static void judge(struct link *link, struct request *r, bool served, uint64_t now_ns)
{
    uint64_t slow_ns = breaker_slow_ns(&link->breaker);
    bool quick = now_ns - r->sent_ns < slow_ns;
    link->excused_ns += excused_now_ns(link, true, now_ns);
    link->awaited_ns = now_ns;
    if (r->answer)
        r->answer->public.took_ns = now_ns - u64_min(now_ns, r->sent_ns);
    if (r->judged)
        return;
    r->judged = true;
    if (!served || quick || unexcused_ns(r, link->excused_ns, now_ns) >= slow_ns)
        health_judge(link, served && quick, now_ns);
}

/* Whether the server refuses MGET as such: the user has no permission for it, or it goes by another
 * name. GET is tried then, and says what else may be wrong. */
static bool is_of_many(const struct request *r, const struct reply *reply)
{
    return r->decode == answer_decode_many &&
           (reply_is_error(reply, "NOPERM") || reply_is_error(reply, "ERR"));
}

/* Returns which kind of work a request is, of enum l2_work; 0: another password, how full the
 * server is, what it allows. */
static uint32_t work_of(const struct request *r)
{
    bool around = r->decode == answer_decode_status || r->decode == answer_decode_text;
    return r->script ? r->script->work : around ? 0 : L2_READS;
}

/* Returns what kind of work an answer shows the server to do. It shows nothing of leases and fills
 * if nothing had to be stored for it, as where a value was there: a server whose memory is full, or
 * that wants replicas, gives such answers, too. */
static uint32_t work_shown(const struct request *r)
{
    struct l2_answer *answer = &r->answer->public;
    uint32_t work = work_of(r);
    bool stored = answer->verdict == L2_GRANTED || answer->verdict == L2_HELD ||
                  answer->verdict == L2_STORED;
    for (uint32_t i = 0; i < r->answer->asked && !stored; i++) {
        struct bytes value;
        uint32_t held_ms;
        if (r->decode == answer_decode_leases) {
            enum l2_verdict verdict = l2_lease_at(answer, i, &value, &held_ms);
            stored = verdict == L2_GRANTED || verdict == L2_HELD;
        } else if (r->decode == answer_decode_fills) {
            stored = l2_fill_at(answer, i) == L2_STORED;
        }
    }
    return stored || !(work & (L2_LEASES | L2_FILLS)) ? work : 0;
}

/* Takes an error reply. < 0: the connection has to go. */
static int take_error(struct link *link, struct request *r, const struct reply *reply)
{
    bool fatal = is_fatal(reply);
    if (is_too_large(reply))
        learn_argument(link, r);
    if (fatal)
        health_turned_away(link, reply->bytes);
    else if (is_of_many(r, reply))
        atomic_store_explicit(&link->many_refused, link->connections, memory_order_relaxed);
    else if (work_of(r) != 0 && /* else who asked tells */
             !reply_is_error(reply, "NOSCRIPT")) /* gets here when nobody waits any more */
        health_refused(link, work_of(r));
    give(link, r, fatal ? NIGH_EOFFLINE : NIGH_EREDIS);
    return fatal ? NIGH_EOFFLINE : 0;
}

/* Notes the server's replid, if it is another than when it was asked last: a server that was made a
 * replica, and a master again, may have another's data. The listener may be waiting for it. */
static void note_server(struct link *link, const struct l2_clock *clock)
{
    if (!clock->replid.data || clock->home == link->conn.home)
        return;
    link->conn.home = clock->home;
    memcpy(link->conn.replid, clock->replid.data, REPLID_BYTES);
    pthread_mutex_lock(&link->lock);
    memcpy(link->replid, clock->replid.data, REPLID_BYTES);
    if (link->channel)
        l2_channel_wake(link->channel);
    pthread_mutex_unlock(&link->lock);
}

/* Notes that nobody heard of a change, not even we who listen: perhaps we may not publish. */
static void note_unheard(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool listens = link->channel != NULL;
    pthread_mutex_unlock(&link->lock);
    link->rights_doubted = link->rights_doubted || listens;
}

/*
 * Takes a reply, which should answer the request. < 0: it does not, and no later reply can be
 * trusted: the replies may be shifted by one, because somebody else wrote into our socket. A script
 * is known by its number; a value of another key, which a GET before it may have got, is known by
 * its envelope.
 */
static int take_answer(struct link *link, struct request *r, struct reply *reply)
{
    int status = r->script && !answer_is_to(reply, r->number) ? NIGH_EREDIS : 0;
    if (r->answer && status == 0) {
        r->answer->replid = link->conn.replid;
        status = r->decode(r->answer, reply);
    }
    if (r->answer && status == 0) {
        r->answer->reply = reply;
        if (NIGH_UNLIKELY(health_is_bad(link)))
            health_served(link, work_shown(r));
        if (r->answer->public.counted && r->answer->public.heard == 0)
            note_unheard(link);
        note_server(link, &r->answer->public.clock);
    } else {
        reply_free(reply);
    }
    if (r->answer && status != 0) {
        r->answer->public.value = bytes_of(NULL, 0);
        r->answer->public.clock.replid = bytes_of(NULL, 0);
        r->answer->public.entry_count = 0;
    }
    give(link, r, status);
    if (status != NIGH_EREDIS)
        return 0;
    stats_count(link->stats, STATS_L2_BAD_REPLY);
    snprintf(link->conn.problem, sizeof(link->conn.problem), "a reply is not what was asked for");
    return NIGH_EREDIS;
}

int pipeline_reply(void *arg, struct reply *reply)
{
    struct link *link = arg;
    uint64_t now_ns = link->conn.heard_ns;
    int failed = 0;
    if (!link->pending.head) { /* Redis says goodbye like this: maxclients, a protocol error, ... */
        bool words = reply->type == REPLY_ERROR;
        conn_problem(&link->conn, words ? "" : "a reply that nobody asked for",
                     words ? reply->bytes : bytes_of("", 0));
        reply_free(reply);
        return NIGH_EREDIS;
    }
    judge(link, link->pending.head, !is_sick(reply), now_ns);
    struct request *r = request_list_pop(&link->pending);
    link->callers -= r->holds_caller;
    use_room(link);
    if (r->script && r->answer && reply_is_error(reply, "NOSCRIPT")) {
        reply_free(reply);
        return send_text(link, r);
    }
    bool wrong_type = !r->script && reply_is_error(reply, "WRONGTYPE");
    if (reply->type == REPLY_ERROR && !wrong_type) {
        failed = take_error(link, r, reply);
        reply_free(reply);
    } else {
        failed = take_answer(link, r, reply);
        link->proven = true;
    }
    request_done(link, r);
    return failed;
}

/* The deadline of a pending request has passed. If its wait is excused so far, the verdict is left
 * to its reply. */
static void expire_one(struct link *link, struct request *r, uint64_t now_ns)
{
    uint64_t under_way_ns = unexcused_ns(r, excused_ns(link, now_ns), now_ns);
    if (!r->judged && under_way_ns >= breaker_slow_ns(&link->breaker)) {
        r->judged = true;
        health_judge(link, false, now_ns);
    }
    give(link, r, NIGH_ETIMEDOUT);
}

/* Returns when a pending request ends: a patient one not while bytes move. Replies come in order,
 * so bytes that come in belong to its reply, or to one before it. */
static uint64_t deadline_of(const struct link *link, const struct request *r)
{
    uint64_t moves_ns = conn_moved_ns(&link->conn) + MOVES_NS;
    return r->patient ? u64_max(r->deadline_ns, moves_ns) : r->deadline_ns;
}

void pipeline_expire(struct link *link, uint64_t now_ns)
{
    if (now_ns < link->next_deadline_ns)
        return;
    uint64_t next_ns = CLOCK_NEVER_NS, slow_ns = breaker_slow_ns(&link->breaker);
    /* Callbacks may submit, which touches the queue, never this list. */
    for (struct request *r = link->pending.head; r; r = r->next) {
        uint64_t deadline_ns = deadline_of(link, r);
        if (deadline_ns <= now_ns)
            expire_one(link, r, now_ns);
        else
            next_ns = u64_min(next_ns, deadline_ns);
        /* the server is judged when it is slow, not when a caller is impatient */
        if (!r->judged && deadline_ns <= now_ns && r->sent_ns + slow_ns > now_ns)
            next_ns = u64_min(next_ns, r->sent_ns + slow_ns);
    }
    link->next_deadline_ns = next_ns;
    waiter_wake_all(link);
}

void pipeline_time_out(struct link *link, struct request_list *late)
{
    struct request *r;
    while ((r = request_list_pop(late))) {
        pipeline_hand(link, r, NIGH_ETIMEDOUT);
        request_done(link, r);
    }
    waiter_wake_all(link);
}

void pipeline_fail(struct link *link, int status)
{
    struct request_list lost[2];
    struct request *r;
    pthread_mutex_lock(&link->lock);
    request_list_move(&lost[1], &link->queue);
    pthread_mutex_unlock(&link->lock);
    request_list_move(&lost[0], &link->pending);
    link->callers = 0;
    link->next_deadline_ns = CLOCK_NEVER_NS;
    for (size_t i = 0; i < ARRAY_COUNT(lost); i++) {
        while ((r = request_list_pop(&lost[i]))) {
            give(link, r, status);
            request_done(link, r);
        }
    }
    waiter_wake_all(link);
}
