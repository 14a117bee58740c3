// SPDX-License-Identifier: MIT
// How full the server is, what it has evicted, and what it will do when it is full: told at the
// handshake, and asked for again every USAGE_NS, for people alone. (So an advice about its policy
// ends when that is mended, and comes when somebody changes it under a connection that lives on.)
//
// INFO goes among the requests, as a reader's would: it is refused while the breaker is open, and a
// server that is slow with it is slow. One that answers with an error (an ACL that allows the
// section "replication" alone, which is all that scripts need) is not asked again on that
// connection, and nobody is told: nothing else is worse for it.

#include "l2/client.h"

#define USAGE_NS (10 * NS_PER_S)
#define ANSWER_NS NS_PER_S

/* Whether the server runs a script for too long, and refuses all it is asked until it ends. */
static bool is_busy(const struct link *link)
{
    return strncmp(link->conn.words, "BUSY", 4) == 0;
}

/* Takes what it tells. REQUIRES the link's lock. */
static void take(struct link *link, struct bytes info)
{
    uint64_t evicted = link->server.usage.evicted;
    info_memory(info, &link->server);
    link->told_ns = clock_now_ns(link->env->clock);
    if (link->server.usage.evicted != evicted)
        link->quiet_since_ns = link->told_ns;
}

/* An l2_done_fn. */
static void answered(void *arg, struct l2_answer *answer)
{
    struct link *link = arg;
    if (answer->status == NIGH_EREDIS && !is_busy(link))
        atomic_store_explicit(&link->usage_refused, answer->connection, memory_order_relaxed);
    if (answer->status == 0) {
        pthread_mutex_lock(&link->lock);
        if (link->online == answer->connection)
            take(link, answer->value);
        pthread_mutex_unlock(&link->lock);
        io_advise(link);
    }
    l2_answer_free(answer);
}

static bool takes_sections(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool takes = !link->server.whole_info;
    pthread_mutex_unlock(&link->lock);
    return takes;
}

static void ask(struct link *link, uint64_t now_ns)
{
    static const char *const sections[] = {"stats", "memory"};
    size_t count = takes_sections(link) ? ARRAY_COUNT(sections) : 0; /* without any: of all */
    struct l2_op op = l2_op_of(now_ns + ANSWER_NS, answered, link);
    const struct submit submit = {&op, answer_decode_text, NULL, 0, SUBMIT_READ};
    struct command c;
    if (submit_begin(link->l2, &c))
        return;
    command_text(&c, "INFO");
    for (size_t i = 0; i < count; i++)
        command_text(&c, sections[i]);
    submit_queue(link, &c, &submit); /* refused: the next one may do */
}

/* Of one that has not told for long nobody knows. */
uint64_t usage_quiet_ns(const struct link *link)
{
    uint64_t now_ns = clock_now_ns(link->env->clock);
    return now_ns < link->told_ns + 3 * USAGE_NS ? link->told_ns - link->quiet_since_ns : 0;
}

uint64_t usage_keep(struct link *link)
{
    uint64_t now_ns = clock_now_ns(link->env->clock);
    bool first = link->usage_due_ns == 0;
    if (now_ns < link->usage_due_ns)
        return link->usage_due_ns;
    uint64_t connection = atomic_load_explicit(&link->connection, memory_order_relaxed);
    uint64_t refused = atomic_load_explicit(&link->usage_refused, memory_order_relaxed);
    if (!first && connection != 0 && connection != refused)
        ask(link, now_ns);
    link->usage_due_ns = now_ns + USAGE_NS;
    return link->usage_due_ns;
}
