/* SPDX-License-Identifier: MIT */
/*
 * sites.h - what the cases do to a site and ask of it: changes by a node, what nodes show, and what
 * Redis' keys say.
 */
#ifndef NIGH_TEST_UPGRADE_SITES_H
#define NIGH_TEST_UPGRADE_SITES_H

#include "upgrade/nodes.h"

enum {
    TRUST_MS = 3000,           /* the default of trust_ms */
    BOUND_MS = TRUST_MS + 500, /* of FRESH: with coarse clocks, and scripts under way */
    PATIENCE_MS = 20000,       /* of a condition that must come */
};

/* The case makes no sense without it: ends the program, so that a red run ends soon. */
#define MUST_COME(cond) REQUIRE(CHECK_WITHIN(PATIENCE_MS, cond))

/* How a node changes a key. Everything a change covers has the same row: see site_change(). */
enum kind { INVALIDATE, PUT, WRITE, TAG, SPACE, ALL, KINDS };

const char *kind_name(enum kind kind);

/* The truth of the row becomes `number`, and the node says so. Returns what the call did. */
long long site_change(struct site *s, struct node *n, enum kind kind, unsigned row,
                      uint64_t number);

/* Whether it calls a number up to this one fresh. how: fetch, peek or look (node.c). */
bool shows_fresh(struct node *n, const char *how, unsigned row, uint64_t number);
/* Whether it calls exactly this one fresh. */
bool has_fresh(struct node *n, const char *how, unsigned row, uint64_t number);
/* Whether neither peek nor look nor fetch shows it, to wait for. */
bool shows_nowhere(struct node *n, unsigned row, uint64_t number);
/* Whether one of them shows it. Says which. */
bool shows_anywhere(struct node *n, unsigned row, uint64_t number);
bool is_trusted(struct node *n);

/* Bytes of the new clock as hexadecimal digits, to free(). */
char *clock_bytes(const struct site *s, unsigned from, unsigned to);
/* Old nodes are known to new ones. */
bool knows_old_nodes(const struct site *s);
/* Nothing has been changed by one for a while. */
bool is_calm(const struct site *s);
/* New nodes have seen the old ones, and that they are calm, and trust. */
void site_settle(struct site *s, struct node *n);

/* A command whose answer does not matter, with "%s" for the prefix. */
void site_redis(const struct site *s, const char *format);
long long site_integer(const struct site *s, const char *format);

#endif
