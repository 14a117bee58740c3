/* SPDX-License-Identifier: MIT */
/*
 * The judge: the origin with all its past, and what each answer was allowed to be.
 *
 * Every value tells in its text which load brought it ("k<key>:<version>:<load>"), so the judge
 * knows exactly what an answer shows. What must be shown is told by what the servers executed:
 * each invalidation or write covers the version that the origin had when it was issued.
 *
 *   trust     FRESH and ABSENT show whatever Redis executed trust before the call began
 *   own       ... and what this node's own calls had applied before the call began
 *   told      STALE shows what this node's own calls had removed before the call began, unless
 *             Redis has lost that
 *   back      a node's FRESH answers for a key do not go back while nothing is broken
 *   lifetime  FRESH is no older than its lifetime, counted from the reading of the origin
 *   wins      no value older than an executed invalidation of its key is stored in Redis, nor one
 *             older than what the script tells that stores it
 *   once      no fill is accepted twice
 *   waits     while nothing is broken no read waits as long as a lease lasts
 *   settled   when all is well again every node is trusted and shows what the origin has
 *
 * Lost changes: a server that is rolled back, left, or demoted takes changes with it. Those count
 * again LOST_NS after that, by when their issuers have issued them anew. (A server with another
 * identity excuses nothing: all is stale. But its copy may lack more than issuers remember, who
 * remember what was executed in the last LOST_NS, and a new clock has no floors of tags: what was
 * removed before may come back, marked as stale.)
 */
#ifndef NIGH_SIM_JUDGE_H
#define NIGH_SIM_JUDGE_H

#include "sim/server.h"

#define KEYS 6
#define LOST_NS (10 * SIM_S)
#define RECONNECT_NS SIM_S

enum target { TARGET_KEY, TARGET_TAG, TARGET_SPACE, TARGET_ALL };

struct judge_config {
    uint64_t trust_ns;
    uint64_t lifetime_ns;
    bool judges_back;
    bool keeps_data;  /* nothing that Redis has is lost */
    bool judges_puts; /* late puts too, see judge.c */
};

void judge_init(const struct judge_config *config);
void judge_fini(void);

/* ---- the origin ---- */

/* Keys 0-2 are of the space without versions, 3-5 of the other. */
static inline int key_space(int key)
{
    return key / 3;
}
/* The tag of a key: t0 or t1, across both spaces. */
static inline int key_tag(int key)
{
    return key % 2;
}
/* Commit a change. Returns its version. */
uint32_t origin_commit(int key, bool absent);
uint32_t origin_version(int key);
bool origin_absent(int key, uint32_t version);
/* Note a reading of the origin: the text of the value, to be stored. Returns the version. */
uint32_t origin_read(int node, int key, bool *ret_absent, char *text, size_t size);
/* The same for a value that the caller has just committed. */
void origin_text(int node, int key, uint32_t version, bool put, char *text, size_t size);

/* ---- changes ---- */

/* A node's call issues a change under this number (`call` of its frame), or, if it goes with
 * others, under a later one that nobody has had yet. Returns what the call is known by. */
uint32_t judge_issued(int node, uint64_t call, enum target target, int which, uint32_t version,
                      bool put);
/* The call has returned: its node has applied it. `hard`: what is older is gone. */
void judge_applied(int node, uint32_t id, bool hard);
/* Which node an incarnation is. */
void judge_node(int node, uint64_t incarnation);

/* ---- what servers do ---- */

void judge_published(struct server *s, struct bytes channel, struct bytes payload);
void judge_script(struct session *session, int script, struct bytes reply);
void judge_stored(struct session *session, struct bytes key, struct bytes value);
/* The server's data are another's from now on: what it alone executed since `since_ns` is lost. */
void judge_lost(int server, uint64_t since_ns);
/* Notes that a server comes up without what was executed since then: what issuers do not remember
 * any more by the time they are connected will not be told again. */
void judge_forgotten(uint64_t since_ns);
/* Whether changes executed by that server count now: not while it is the wrong one to ask. */
void judge_valid(int server, bool valid);
/* The servers' wall clock has stepped. */
void judge_stepped(void);
unsigned judge_clocks(void); /* identities of clocks made so far */

/* ---- reads ---- */

struct reading {
    int node, key;
    uint64_t began_ns;
};
/* Takes the answer of a read: outcome as nigh_get()'s, text of the value. */
void judge_answer(const struct reading *r, int outcome, const char *text, size_t len);
/* From here on only the end's reads run; where nothing was broken, one load of a key is enough. */
void judge_begin_end(void);
/* At the end: an answer that must be the origin's last. */
void judge_settled(const struct reading *r, int outcome, const char *text, size_t len);

#endif
