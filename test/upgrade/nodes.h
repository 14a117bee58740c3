/* SPDX-License-Identifier: MIT */
/*
 * nodes.h - node processes of either build (node.c), and what several of them share.
 *
 *     struct site site;
 *     struct node old;
 *     site_open(&site, &server, "prefix");
 *     node_open(&old, &site, BUILD_OLD, "1");
 *     struct said a = node_ask(&old, "fetch k%u", 3);
 *     node_close(&old);
 *     site_close(&site);
 *
 * Whatever a node does not answer in time ends the test.
 */
#ifndef NIGH_TEST_UPGRADE_NODES_H
#define NIGH_TEST_UPGRADE_NODES_H

#include <stdbool.h>
#include <stdio.h>

#include "support/check.h"
#include "support/redis.h"
#include "upgrade/origin_file.h"

/* One prefix on one server, and one origin. Its files lie in the server's folder. */
struct site {
    struct redis *server;
    char prefix[16];
    struct origin_file *origin;
    char origin_path[128];
    unsigned nodes; /* started so far: names of log files */
};

struct node {
    pid_t pid; /* 0: none */
    enum build build;
    FILE *to, *from;
    char log_path[128];
};

/* Outcomes, as both builds number them. */
enum { SAID_FRESH, SAID_STALE, SAID_ABSENT, SAID_MISS, SAID_REFUSED = 6 };

struct said {
    long long outcome;
    uint64_t number;
};

void site_open(struct site *s, struct redis *server, const char *prefix);
/* Row `row` says `number` from now on. */
void site_commit(struct site *s, unsigned row, uint64_t number);

/* Call it from the thread that outlives the node. */
void node_open(struct node *n, struct site *s, enum build build, const char *schema);
/* One line, and its answer. One thread at a time for each node. */
struct said node_ask(struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Lines of its log so far with this text in them. */
unsigned node_logged(const struct node *n, const char *text);
/* End its input and wait for it; or kill it. Nothing is done when it has ended. */
void node_close(struct node *n);
void node_kill(struct node *n);

#endif
