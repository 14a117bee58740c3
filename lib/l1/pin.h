/* SPDX-License-Identifier: MIT */
/*
 * Pins: how a value handed out stays where it is, for 2 ns and without a write to a shared line.
 *
 * A thread owns a page of 256 slots, opened in blocks of 16. Pinning stores the entry's address in
 * a free slot, inside the read section that found it; releasing stores NULL, from any thread. The
 * reclaimer, after a grace period, frees only what no slot names. Past 256 held values a reader
 * gets a copy of its own.
 *
 *     pin word:   address of the slot, or of the entry     | tier (2 bits) | kind (1 bit)
 *                 kind 0: slot                 kind 1: a reference is held
 *
 * Pages belong to the process, not to a cache: they stay registered for ever, and when a thread
 * exits, its page waits (with what is still pinned in it) for a thread that pins its first value.
 *
 * Why nothing pinned is freed
 *   A pin is stored either inside a section, so that a grace period begun after the entry was
 *   unlinked orders it before the scan, or by a thread that holds a reference and drops it later
 *   with release: the reclaimer looks at the references first (pair(entry.refs)) and at the slots
 *   then. So a new reference may be taken only inside a section or under another reference, never
 *   under a slot alone.
 * Why it is freed after the last use
 *   Release stores NULL with release order; the scan loads with acquire (pair(pin.slot)). The owner
 *   that uses the slot again loads NULL with acquire and stores with release, which carries the
 *   releaser's reads along.
 */
#ifndef NIGH_L1_PIN_H
#define NIGH_L1_PIN_H

#include "l1/l1.h"

#define PIN_BLOCK_SLOTS 16u
#define PIN_SLOTS_MAX 256u

/* Calls `visit` with every entry that some slot names now. After the references were looked at. */
void pin_scan(void (*visit)(void *arg, const struct l1_entry *e), void *arg);
/* Slots in use by all threads (approximate). */
uint64_t pin_count(void);

#endif
