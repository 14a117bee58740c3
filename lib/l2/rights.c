// SPDX-License-Identifier: MIT
// Naming the right that a refused request lacks.
//
// Redis 7.0 says of a script that it calls what its user may not, and not what: of a right that was
// taken away while we were connected nobody would learn which. So behind a refusal the question of
// the handshake is asked again (needs.h), among the other requests as a login is (auth.c), and what
// lacks is told in the place of the server's words. The connection stays: what needs no such right
// is served. The question is asked once in RIGHTS_NS, whatever is refused, and changes nothing; and
// once a right lacks, again and again until it is there, for that ends the refusal (health.c).
//
// A right may be gone for long before anything is refused, or be one for which nothing is: a script
// that may not PUBLISH has done all else, and nobody hears of it. So it is asked each LOOK_NS, too,
// and when not even this node would have heard of its change.

#include "l2/client.h"
#include "l2/needs.h"

#define RIGHTS_NS (5 * NS_PER_S)
#define LOOK_NS (30 * NS_PER_S)

/* An l2_done_fn. */
static void answered(void *arg, struct l2_answer *answer)
{
    struct link *link = arg;
    const struct reply reply = {.type = REPLY_STRING, .bytes = answer->value};
    const char *advice;
    char lacks[sizeof(link->lacks)];
    link->asks_rights = false;
    if (answer->status == 0 && needs_are_met(&reply, lacks, sizeof(lacks), &advice)) {
        health_lacks_none(link);
    } else if (answer->status == 0) {
        strcpy(link->lacks, lacks);
        health_lacks(link);
    }
    l2_answer_free(answer);
}

/* Writes the question to the connection, and awaits the answer. 0 or NIGH_ENOMEM. */
static int ask(struct link *link, uint64_t now_ns)
{
    struct bytes args[NEEDS_ARGS_MAX];
    int failed = conn_command(&link->conn, args, needs_question(&link->l2->keys, args));
    return failed ? failed : pipeline_await(link, answered, answer_decode_text, now_ns);
}

int rights_step(struct link *link, uint64_t now_ns)
{
    bool wanted = link->rights_doubted || link->lacks[0];
    if (link->conn.state != CONN_UP || link->asks_rights)
        return 0;
    if (link->rights_look_ns == 0)
        link->rights_look_ns = now_ns + LOOK_NS;
    if (now_ns < (wanted ? link->rights_next_ns : link->rights_look_ns))
        return 0;
    link->rights_doubted = false;
    link->rights_next_ns = now_ns + RIGHTS_NS;
    link->rights_look_ns = now_ns + LOOK_NS;
    link->asks_rights = true;
    int failed = ask(link, now_ns);
    link->asks_rights = !failed;
    return failed;
}
