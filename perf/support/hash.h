/* SPDX-License-Identifier: MIT */
/*
 * XXH3-64 from the packaged header, and nigh's wire hash written down a second time.
 *
 * The harness does not ask the library where a tag's floor lives: it computes it from the protocol
 * document, so that a slip in the library's own hash shows as loads that cannot be explained.
 */
#ifndef PERF_HASH_H
#define PERF_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "support/text.h"

uint64_t hash_text(struct text t);
/* ... of one within another; that of `t` alone where there is no other. */
uint64_t hash_within(struct text other, struct text t);

/* The group slot of a tag among `slots` (a power of two): slots below 1024 are all and spaces. */
uint32_t hash_tag_slot(struct text tag, uint32_t slots);

#endif
