// SPDX-License-Identifier: MIT
/*
 * Laying out and sharing the memory of a run.
 */
#include "nodes/shared.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/fail.h"

/* The logs hold what a run on a large machine may write; pages nobody writes cost nothing. */
#define LOADS_PER_SECOND 60000
#define LOADS_AT_LEAST 500000
#define SPARE_SECONDS 5
/* A fault may take its time (FAULT_PATIENCE_S), and what changes meanwhile is noted. */
#define SPARE_SECONDS_FAULT 150

static size_t header_bytes(void)
{
    return (sizeof(struct shared) + 4095) / 4096 * 4096;
}

static uint32_t capacity(double per_second, double seconds)
{
    double wanted = 1.5 * per_second * seconds + 1000;
    return wanted < (double)(UINT32_MAX / 2) ? (uint32_t)wanted : UINT32_MAX / 2;
}

static struct shared *map(int fd, size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        fail("cannot map %zu bytes of shared memory", bytes);
    return at;
}

struct shared *shared_create(const struct plan *plan, uint32_t packages, int *ret_fd)
{
    double seconds = plan->seconds + SPARE_SECONDS;
    double updates_s = seconds + (plan->fault ? SPARE_SECONDS_FAULT : 0);
    uint32_t updates = capacity(plan->updates_per_second, updates_s);
    uint32_t loads = plan->check ? capacity(LOADS_PER_SECOND, seconds) + LOADS_AT_LEAST : 0;
    size_t bytes = header_bytes() + history_bytes(packages, updates) + loads_bytes(loads);
    int fd = memfd_create("perf-nodes", 0);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        fail("cannot make %zu bytes of shared memory", bytes);
    struct shared *s = map(fd, bytes);
    s->plan = *plan;
    s->packages = packages;
    s->update_capacity = updates;
    s->load_capacity = loads;
    s->bytes = bytes;
    for (uint32_t node = 0; node < NODES_MAX; node++)
        sem_init(&s->nodes[node].probe_wanted, 1, 0);
    *ret_fd = fd;
    return s;
}

struct shared *shared_attach(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        fail("no shared memory: this program starts its own nodes, run it without --node");
    return map(fd, (size_t)st.st_size);
}

void shared_free(struct shared *shared, int fd)
{
    munmap(shared, shared->bytes);
    close(fd);
}

struct history shared_history(struct shared *shared)
{
    return history_at((uint8_t *)shared + header_bytes(), shared->packages,
                      shared->update_capacity);
}

struct loads shared_loads(struct shared *shared)
{
    size_t history = history_bytes(shared->packages, shared->update_capacity);
    return loads_at((uint8_t *)shared + header_bytes() + history, shared->load_capacity);
}

void shared_origin_enter(struct shared *shared, uint32_t node)
{
    atomic_fetch_add_explicit(&shared->nodes[node].origin_now, 1, memory_order_relaxed);
    int32_t now = atomic_fetch_add_explicit(&shared->origin_now, 1, memory_order_relaxed) + 1;
    int32_t peak = atomic_load_explicit(&shared->origin_peak, memory_order_relaxed);
    while (now > peak &&
           !atomic_compare_exchange_weak_explicit(&shared->origin_peak, &peak, now,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
    atomic_fetch_add_explicit(&shared->origin_loads, 1, memory_order_relaxed);
}

void shared_origin_leave(struct shared *shared, uint32_t node)
{
    atomic_fetch_sub_explicit(&shared->nodes[node].origin_now, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&shared->origin_now, 1, memory_order_relaxed);
}

void shared_origin_lost(struct shared *shared, uint32_t node)
{
    int32_t lost = atomic_exchange_explicit(&shared->nodes[node].origin_now, 0,
                                            memory_order_relaxed);
    atomic_fetch_sub_explicit(&shared->origin_now, lost, memory_order_relaxed);
}
