/* SPDX-License-Identifier: MIT */
/*
 * Calls: what a step makes a node's application do, and what the judge hears of it.
 */
#ifndef NIGH_SIM_OP_H
#define NIGH_SIM_OP_H

#include "sim/schedule.h"

/* Start the call of a step, as a task of its node. */
void op_start(const struct step *step);
/* Ask every node for every key: to be answered with what the origin has. */
void op_start_final(int nodes);
/* Calls that have not returned. */
unsigned op_running(void);
/* Whether a put is all that tells of its commit, see op.c. */
void ops_init(bool puts_alone, bool behind);
/* For a writer: commit, and note what the change that follows will tell. 0, or -1: conflict. */
int op_commit(int node, int key, uint64_t version, bool absent);

#endif
