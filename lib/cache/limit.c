// SPDX-License-Identifier: MIT
/*
 * A cap larger than the memory that there is caps nothing: the kernel acts long before L1 evicts.
 *
 * It is a warning, not an error: a limit may be raised while the process runs, and a cache may stay
 * small. Equal is too much as well, for a process has other memory too.
 */
#include "cache/limit.h"

#include <inttypes.h>

#define MIB_CEIL(bytes) ((bytes) / (1u << 20) + ((bytes) % (1u << 20) != 0))

void limit_warn(struct log *log, uint64_t memory_bytes, const char *root)
{
    struct log_site always = {0}; /* each opening warns: nothing is held back */
    uint64_t group = cgroup_memory_limit(root);
    uint64_t machine = cgroup_machine_memory(root);
    if (memory_bytes >= group && group <= machine)
        log_write(log, NIGH_LOG_WARN, &always,
                  "l1.memory is %" PRIu64 " MiB, and the cgroup's memory limit %" PRIu64
                  " MiB: the kernel will kill this process before L1 is full",
                  MIB_CEIL(memory_bytes), group >> 20);
    else if (memory_bytes >= machine)
        log_write(log, NIGH_LOG_WARN, &always,
                  "l1.memory is %" PRIu64 " MiB, and this machine has %" PRIu64
                  " MiB of memory: it will swap, or the kernel will kill a process, before L1 is "
                  "full", MIB_CEIL(memory_bytes), machine >> 20);
}
