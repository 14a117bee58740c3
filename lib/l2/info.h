/* SPDX-License-Identifier: MIT */
/*
 * What a server tells of itself in INFO, and whether that will do.
 *
 * Texts are constant, for `problem` of a connection and for the log.
 */
#ifndef NIGH_L2_INFO_H
#define NIGH_L2_INFO_H

#include "l2/l2.h"

#define REPLID_BYTES 40u

/* What is said of a node of a cluster, which SELECT finds, too. */
extern const char info_cluster_node[];

/* Judges the sections "replication" and "cluster". NULL: a master that stands alone, and
 * `*ret_replid` is its replication id, of REPLID_BYTES; else why it will not do. */
const char *info_judge(struct bytes info, struct bytes *ret_replid);

/* Take what it tells, of the sections "memory" and "stats"; the rest stays as it is. */
void info_usage(struct bytes info, struct l2_usage *usage);

/* Whether a policy of this name evicts keys that have no end, too: the order of changes. */
bool info_evicts_all(struct bytes policy);

/* Take all that those sections tell: the usage, the maxmemory-policy, and what should be changed
 * about that. What they do not tell stays as it is. */
void info_memory(struct bytes info, struct l2_server *server);
/* NULL, or what should be changed about a master that another may replace. */
const char *info_advice_on_replicas(struct bytes info);

#endif
