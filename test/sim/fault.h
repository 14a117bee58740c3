/* SPDX-License-Identifier: MIT */
/*
 * Faults: what a step does to servers, links and machines, and how it ends.
 */
#ifndef NIGH_SIM_FAULT_H
#define NIGH_SIM_FAULT_H

#include "sim/schedule.h"

void faults_init(const struct schedule *s);
void faults_fini(void);
void fault_start(const struct step *step);
/* Everything works again: one server that all nodes reach. */
void faults_end(void);
/* Until when changes may be missing that a server took with it. */
uint64_t faults_lost_until(void);
/* When the last flap was over (0: none was), and how many clocks there had been when it ended. */
uint64_t faults_healed(unsigned *ret_clocks);

#endif
