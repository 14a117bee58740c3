// SPDX-License-Identifier: MIT
/*
 * jemalloc's statistics by mallctl, the kernel's by /proc.
 */
#include "bench/arena.h"

#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <unistd.h>

#include "support/fail.h"

static void renew(void)
{
    uint64_t epoch = 1;
    mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
}

static uint64_t size_of(const char *name)
{
    size_t value = 0;
    size_t len = sizeof(value);
    if (mallctl(name, &value, &len, NULL, 0) != 0)
        fail("jemalloc does not know %s", name);
    return value;
}

unsigned arena_next(void)
{
    unsigned count = 0;
    size_t len = sizeof(count);
    if (mallctl("arenas.narenas", &count, &len, NULL, 0) != 0)
        fail("jemalloc does not count its arenas");
    return count;
}

uint64_t arena_allocated_bytes(unsigned arena)
{
    char name[64];
    renew();
    snprintf(name, sizeof(name), "stats.arenas.%u.small.allocated", arena);
    uint64_t small = size_of(name);
    snprintf(name, sizeof(name), "stats.arenas.%u.large.allocated", arena);
    return small + size_of(name);
}

uint64_t arena_charge(uint64_t bytes)
{
    return nallocx(bytes, 0);
}

uint64_t jemalloc_mapped_bytes(void)
{
    renew();
    return size_of("stats.mapped") + size_of("stats.retained");
}

/* Field 0 or 1 of /proc/self/statm, in bytes. */
static uint64_t statm(unsigned field)
{
    unsigned long pages[2] = {0, 0};
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &pages[0], &pages[1]) != 2)
        fail("cannot read /proc/self/statm");
    fclose(f);
    return (uint64_t)pages[field] * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t process_virtual_bytes(void)
{
    return statm(0);
}

uint64_t process_resident_bytes(void)
{
    return statm(1);
}
