/* SPDX-License-Identifier: MIT */
/*
 * The world of one schedule: its time, what is due, who waits, chance, and what is written down.
 *
 * Time stands still while anything runs and then jumps to the next thing that is due. What becomes
 * due at one moment runs in the order in which it was asked for. Whoever waits is resumed some
 * time after what woke him: that is the scheduler of his machine, and may take long.
 */
#ifndef NIGH_SIM_WORLD_H
#define NIGH_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "sim/fiber.h"

#define SIM_US 1000ull
#define SIM_MS NS_PER_MS
#define SIM_S NS_PER_S
#define SIM_NODES_MAX 100
#define SIM_START_NS (1000 * SIM_S)

/* ---- chance ---- */

struct chance {
    uint64_t state;
};
uint64_t chance_next(struct chance *c);
uint64_t chance_below(struct chance *c, uint64_t bound);
bool chance_percent(struct chance *c, unsigned percent);
/* Mixes numbers into a seed of their own. */
uint64_t chance_mix(uint64_t a, uint64_t b);

/* ---- the world ---- */

/* Somebody who runs on a node (or outside of all: node -1) and can wait. */
struct task {
    struct fiber *fiber;
    struct task *next;          /* all of the world */
    int node;
    const char *name;
    bool blocked;
    bool resumed_due;           /* a resumption is on its way */
    uint64_t wait;              /* counts waits: a resumption for an old one is void */
    _Atomic uint32_t *word;     /* parked on; NULL: not */
    int fd;                     /* waiting for data on it; -1: not */
    int wake_fd;
    bool ended;
    void *user;                 /* what it is about; free for who started it */
};

typedef void (*event_fn)(void *arg, uint64_t number);

void world_init(uint64_t seed);
/* Drops what is left: tasks that still wait are abandoned. */
void world_fini(void);
uint64_t world_now(void);
void world_at(uint64_t at_ns, event_fn run, void *arg, uint64_t number);
/* Run what is due up to then, or until `done` says so. False: it never did. */
bool world_run(uint64_t until_ns, bool (*done)(void));

struct task *task_start(int node, const char *name, fiber_fn run, void *arg, uint64_t delay_ns);
struct task *task_current(void);
/* Wait until resumed by one of the below, or for so long. */
void task_wait(uint64_t until_ns);
void task_sleep(uint64_t ns);
/* Resume whoever waits: for the word, for the descriptor (data or wake-up). */
void task_wake_word(_Atomic uint32_t *word);
void task_wake_fd(int fd);
/* Every task of a node, whatever it waits for. */
void task_wake_node(int node);
/* Those of a node that have this name. */
void task_wake_named(int node, const char *name);
unsigned task_count(int node);

/* How slow machines are: until when a node is stopped, and how its scheduler behaves. */
void world_pause_node(int node, uint64_t until_ns);
uint64_t world_paused_until(int node);
void world_set_busy(unsigned percent);

/* ---- what is written down ---- */

extern bool world_tracing;
/* One line of the trace: who did or heard what. Node -1: the world. */
void world_trace(int node, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define TRACE(node, ...)                     \
    do {                                     \
        if (world_tracing)                   \
            world_trace(node, __VA_ARGS__);  \
    } while (0)

/* The first thing that went wrong; the schedule is then over. */
void world_fail(const char *rule, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *world_failed_rule(void); /* NULL: nothing did */
const char *world_failed_text(void);

#endif
