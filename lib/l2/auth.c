// SPDX-License-Identifier: MIT
// Logging in again, while requests go on: with a password that was found since.
//
// AUTH goes among the other requests, in their order, so no call waits for it or fails by it: what
// is behind it is answered as whoever the connection was before, or is now, and a server that
// refuses it leaves the connection as it was. The password is written into the connection's output
// and wiped there (conn.c); the request that awaits the answer has no bytes.
//
// A subscriber may not log in again (RESP2), so behind an AUTH that was accepted the channel makes
// another connection. What is called meanwhile is brought by the next beat.

#include "l2/client.h"

#include <stdio.h>

uint64_t auth_due_ns(const struct link *link)
{
    return link->conn.state == CONN_UP ? login_due_ns(link->conn_config.login) : CLOCK_NEVER_NS;
}

void auth_logged_in(struct link *link, uint64_t number)
{
    if (link->logged_in && number != link->logged_in) {
        LOG(link->env->log, NIGH_LOG_INFO, "redis at %s has taken another password",
            link_shown(link));
        pthread_mutex_lock(&link->lock);
        if (link->channel)
            l2_channel_log_in(link->channel);
        pthread_mutex_unlock(&link->lock);
    }
    link->logged_in = number;
}

/* An l2_done_fn. */
static void answered(void *arg, struct l2_answer *answer)
{
    struct link *link = arg;
    struct login *login = link->conn_config.login;
    uint64_t number = link->logging_in;
    link->logging_in = 0;
    if (answer->status == 0) {
        login_accepted(login, number);
        auth_logged_in(link, number);
    } else if (answer->status == NIGH_EREDIS) {
        const char *words = link->conn.words;
        login_refused(login, number, link->conn.heard_ns);
        if (link->told_refused != number)
            LOG(link->env->log, NIGH_LOG_WARN,
                "redis at %s refuses the new password, the one before it goes on: %s",
                link_shown(link), words);
        link->told_refused = number;
    }
    l2_answer_free(answer);
}

int auth_step(struct link *link, uint64_t now_ns)
{
    struct login *login = link->conn_config.login;
    struct login_words words;
    if (link->conn.state != CONN_UP || now_ns < auth_due_ns(link))
        return 0;
    login_refresh(login, false, now_ns);
    if (link->logging_in)
        return 0;
    login_take_next(login, now_ns, &words);
    uint64_t number = words.number;
    int failed = number ? conn_log_in(&link->conn, &words) : 0;
    login_wipe(&words);
    if (number && !failed)
        failed = pipeline_await(link, answered, answer_decode_status, now_ns);
    link->logging_in = failed ? 0 : number;
    return failed;
}
