// SPDX-License-Identifier: MIT
/*
 * getrandom() of this program.
 */
#include "support/seeded.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/random.h"

static bool is_seeded;
static struct random_stream stream;

void seeded_begin(uint64_t seed)
{
    stream = random_stream_of(seed, 0, 0);
    is_seeded = true;
}

void seeded_end(void)
{
    is_seeded = false;
}

/* The C library's own callers do not come here. */
ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
    char *to = buffer;
    if (!is_seeded)
        return syscall(SYS_getrandom, buffer, size, flags);
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = random_next(&stream);
        memcpy(to + i, &word, size - i < sizeof(word) ? size - i : sizeof(word));
    }
    return (ssize_t)size;
}
