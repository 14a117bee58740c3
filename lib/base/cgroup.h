/* SPDX-License-Identifier: MIT */
/*
 * The memory and CPUs that this process may use, by its control groups and its affinity.
 *
 * A limit binds a group and all below it, so the least on the way from the process's own group to
 * the root counts. Reading only the root's file (which a container shows as its own) misses the
 * limits that systemd or a batch system put between.
 *
 * Version 2 has one tree, in /sys/fs/cgroup (beside version 1: in /sys/fs/cgroup/unified); version
 * 1 has a tree for each controller. A container may show paths in /proc/self/cgroup that are not
 * there below its mount: files that do not exist limit nothing, and the walk up ends at the mount,
 * which is then the container's own group.
 *
 * Source: Linux, Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst; cgroups(7).
 */
#ifndef NIGH_BASE_CGROUP_H
#define NIGH_BASE_CGROUP_H

#include <stdint.h>

/* `root` is a prefix of all paths: "", except in tests. */

/* Bytes; UINT64_MAX: no limit. */
uint64_t cgroup_memory_limit(const char *root);
/* Bytes of the machine, whatever the limits are; UINT64_MAX: not known. */
uint64_t cgroup_machine_memory(const char *root);
/* CPUs' worth of time, rounded up; UINT32_MAX: no limit. */
uint32_t cgroup_cpu_limit(const char *root);
/* CPUs that this process may run on, at most as many as its CPU limit pays for; at least 1. */
uint32_t cgroup_cpus_usable(const char *root);

#endif
