// SPDX-License-Identifier: MIT
/*
 * jemalloc's statistics by mallctl, the kernel's by /proc.
 */
#include "bench/arena.h"

#include <jemalloc/jemalloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "support/fail.h"

static void renew(void)
{
    uint64_t epoch = 1;
    mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
}

static bool find_size(const char *name, uint64_t *ret)
{
    size_t value = 0;
    size_t len = sizeof(value);
    if (mallctl(name, &value, &len, NULL, 0) != 0)
        return false;
    *ret = value;
    return true;
}

static uint64_t size_of(const char *name)
{
    uint64_t value;
    if (!find_size(name, &value))
        fail("jemalloc does not know %s", name);
    return value;
}

static unsigned arena_count(void)
{
    unsigned count = 0;
    size_t len = sizeof(count);
    if (mallctl("arenas.narenas", &count, &len, NULL, 0) != 0)
        fail("jemalloc does not count its arenas");
    return count;
}

static unsigned first_made;

void arenas_begin(void)
{
    first_made = arena_count();
}

/* Destroyed arenas keep their number, and have no statistics. */
static uint64_t arena_stat(unsigned arena, const char *what)
{
    char name[64];
    uint64_t value = 0;
    snprintf(name, sizeof(name), "stats.arenas.%u.%s", arena, what);
    return find_size(name, &value) ? value : 0;
}

uint64_t arenas_allocated_bytes(void)
{
    uint64_t sum = 0;
    renew();
    for (unsigned arena = first_made; arena < arena_count(); arena++)
        sum += arena_stat(arena, "small.allocated") + arena_stat(arena, "large.allocated");
    return sum;
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
