// SPDX-License-Identifier: MIT
// Limits are found wherever they are set on the way up, in both versions; nothing else is a limit.

#include "base/cgroup.h"
#include "support/check.h"
#include "support/tree.h"

#define FOLDERS "sys/fs/cgroup"

TEST(nothing_there_is_no_limit)
{
    struct tree t;
    tree_begin(&t);
    CHECK_EQ(cgroup_memory_limit(t.root), UINT64_MAX);
    CHECK_EQ(cgroup_cpu_limit(t.root), UINT32_MAX);
    CHECK_GE(cgroup_cpus_usable(t.root), 1);
    tree_write(&t, "proc/self/cgroup", "garbage\n0:no second colon\n\n7:memory:\n");
    CHECK_EQ(cgroup_memory_limit(t.root), UINT64_MAX);
    tree_end(&t);
}

TEST(version_2_takes_the_least_on_the_way_up)
{
    struct tree t;
    tree_begin(&t);
    tree_write(&t, "proc/self/cgroup", "0::/system.slice/cache.service\n");
    tree_write(&t, FOLDERS "/system.slice/cache.service/memory.max", "max\n");
    CHECK_EQ(cgroup_memory_limit(t.root), UINT64_MAX);
    tree_write(&t, FOLDERS "/memory.max", "8589934592\n");
    CHECK_EQ(cgroup_memory_limit(t.root), 8589934592ull);
    tree_write(&t, FOLDERS "/system.slice/memory.max", "1073741824\n");
    CHECK_EQ(cgroup_memory_limit(t.root), 1073741824);
    tree_write(&t, FOLDERS "/system.slice/cache.service/memory.max", "2147483648\n");
    CHECK_EQ(cgroup_memory_limit(t.root), 1073741824);
    tree_write(&t, FOLDERS "/system.slice/cache.service/memory.max", "536870912\n");
    CHECK_EQ(cgroup_memory_limit(t.root), 536870912);
    tree_write(&t, FOLDERS "/other.slice/memory.max", "1\n"); /* not ours */
    CHECK_EQ(cgroup_memory_limit(t.root), 536870912);
    tree_end(&t);
}

TEST(a_container_sees_its_own_group_at_the_mount)
{
    struct tree t;
    tree_begin(&t);
    tree_write(&t, "proc/self/cgroup", "0::/\n");
    tree_write(&t, FOLDERS "/memory.max", "268435456\n");
    CHECK_EQ(cgroup_memory_limit(t.root), 268435456);
    /* The host's path, of which nothing is mounted here. */
    tree_write(&t, "proc/self/cgroup", "4:memory:/docker/0123456789\n");
    tree_write(&t, FOLDERS "/memory/memory.limit_in_bytes", "134217728\n");
    CHECK_EQ(cgroup_memory_limit(t.root), 134217728);
    tree_end(&t);
}

TEST(version_1_and_both_at_once)
{
    struct tree t;
    tree_begin(&t);
    tree_write(&t, "proc/self/cgroup",
               "9:name=systemd:/\n4:memory:/a/b\n3:cpu,cpuacct:/a\n2:memoryish:/x\n0::/c\n");
    tree_write(&t, FOLDERS "/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    tree_write(&t, FOLDERS "/memory/a/memory.limit_in_bytes", "4294967296\n");
    tree_write(&t, FOLDERS "/memory/x/memory.limit_in_bytes", "77\n"); /* another controller's */
    CHECK_EQ(cgroup_memory_limit(t.root), 4294967296ull);
    tree_write(&t, FOLDERS "/unified/c/memory.max", "1073741824\n");
    CHECK_EQ(cgroup_memory_limit(t.root), 1073741824);
    tree_write(&t, FOLDERS "/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
    tree_write(&t, FOLDERS "/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(cgroup_cpu_limit(t.root), UINT32_MAX);
    tree_write(&t, FOLDERS "/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    CHECK_EQ(cgroup_cpu_limit(t.root), 3);
    tree_write(&t, FOLDERS "/cpu/cpu.cfs_quota_us", "100000\n");
    tree_write(&t, FOLDERS "/cpu/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(cgroup_cpu_limit(t.root), 1);
    tree_end(&t);
}

TEST(the_machines_memory)
{
    struct tree t;
    tree_begin(&t);
    CHECK_EQ(cgroup_machine_memory(t.root), UINT64_MAX);
    tree_write(&t, "proc/meminfo", "MemFree:  1 kB\n");
    CHECK_EQ(cgroup_machine_memory(t.root), UINT64_MAX);
    tree_write(&t, "proc/meminfo", "MemTotal:        8388608 kB\nMemFree:  1 kB\n");
    CHECK_EQ(cgroup_machine_memory(t.root), 8ull << 30);
    tree_end(&t);
    CHECK_GT(cgroup_machine_memory(""), 1 << 20);
}

TEST(cpus_by_quota_and_by_affinity)
{
    struct tree t;
    tree_begin(&t);
    uint32_t all = cgroup_cpus_usable(t.root);
    tree_write(&t, "proc/self/cgroup", "0::/a/b\n");
    tree_write(&t, FOLDERS "/a/b/cpu.max", "max 100000\n");
    CHECK_EQ(cgroup_cpus_usable(t.root), all);
    tree_write(&t, FOLDERS "/a/cpu.max", "50000 100000\n"); /* half a CPU is one thread's worth */
    CHECK_EQ(cgroup_cpu_limit(t.root), 1);
    CHECK_EQ(cgroup_cpus_usable(t.root), 1);
    tree_write(&t, FOLDERS "/a/cpu.max", "100000000 100000\n");
    CHECK_EQ(cgroup_cpu_limit(t.root), 1000);
    CHECK_EQ(cgroup_cpus_usable(t.root), all < 1000 ? all : 1000);
    tree_write(&t, FOLDERS "/a/cpu.max", "0 0\n"); /* no such quota: no limit, no division */
    CHECK_EQ(cgroup_cpu_limit(t.root), UINT32_MAX);
    tree_end(&t);
}
