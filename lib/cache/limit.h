/* SPDX-License-Identifier: MIT */
/*
 * Whether l1.memory fits into what this process may use.
 */
#ifndef NIGH_CACHE_LIMIT_H
#define NIGH_CACHE_LIMIT_H

#include "base/base.h"

/* Warn if L1 may outgrow the control group, or else the machine: at the opening, and when it is
 * set. `root` stands for /: "" but in tests. */
void limit_warn(struct log *log, uint64_t memory_bytes, const char *root);

#endif
