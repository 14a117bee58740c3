// SPDX-License-Identifier: MIT
/*
 * Limits of control groups, found by a walk from the process's own groups up to the root.
 */
#include "base/cgroup.h"

#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define FILE_MAX 4096 /* bytes of a path, and of a line of /proc/self/cgroup */

/* The limit that one folder sets; UINT64_MAX: none. */
typedef uint64_t (*limit_fn)(const char *folder);

/* ---- one folder ---- */

/* Reads up to two numbers at the beginning of a file. Returns how many there are. */
static int read_numbers(const char *folder, const char *name, uint64_t *ret_a, uint64_t *ret_b)
{
    char path[FILE_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    char text[64] = "";
    uint64_t a = 0;
    uint64_t b = 0;
    int count = fgets(text, sizeof(text), f) && text[0] != '-' /* "-1": no quota */
                    ? sscanf(text, "%" SCNu64 " %" SCNu64, &a, &b) /* "max": none */
                    : 0;
    fclose(f);
    if (count >= 1)
        *ret_a = a;
    if (count >= 2)
        *ret_b = b;
    return count;
}

static uint64_t memory_v2(const char *folder)
{
    uint64_t limit = UINT64_MAX;
    uint64_t unused;
    read_numbers(folder, "memory.max", &limit, &unused);
    return limit;
}

static uint64_t memory_v1(const char *folder)
{
    uint64_t limit = UINT64_MAX;
    uint64_t unused;
    read_numbers(folder, "memory.limit_in_bytes", &limit, &unused);
    return limit;
}

static uint64_t cpus_of(uint64_t quota_us, uint64_t period_us)
{
    return period_us ? (quota_us + period_us - 1) / period_us : UINT64_MAX;
}

static uint64_t cpus_v2(const char *folder)
{
    uint64_t quota_us, period_us;
    bool limited = read_numbers(folder, "cpu.max", &quota_us, &period_us) == 2;
    return limited ? cpus_of(quota_us, period_us) : UINT64_MAX;
}

static uint64_t cpus_v1(const char *folder)
{
    uint64_t quota_us, period_us, unused;
    bool limited = read_numbers(folder, "cpu.cfs_quota_us", &quota_us, &unused) >= 1 &&
                   read_numbers(folder, "cpu.cfs_period_us", &period_us, &unused) >= 1;
    return limited ? cpus_of(quota_us, period_us) : UINT64_MAX;
}

/* ---- the way up ---- */

/* The least limit of MOUNT/GROUP and all folders above it, the mount's own included. */
static uint64_t least_upwards(const char *mount, const char *group, limit_fn limit)
{
    char folder[FILE_MAX];
    int len = snprintf(folder, sizeof(folder), "%s%s", mount, group);
    if (len < 0 || (size_t)len >= sizeof(folder))
        return limit(mount);
    uint64_t least = UINT64_MAX;
    size_t mount_len = strlen(mount);
    for (;;) {
        least = u64_min(least, limit(folder));
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= mount_len || !slash)
            return least;
        *slash = '\0';
    }
}

/* A controller: its name, and how each version tells its limit. */
struct controller {
    const char *name;
    limit_fn v1;
    limit_fn v2;
};

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    return false;
}

/* Parses a line "number:controllers:/group" (version 2 names no controllers): the least limit of
 * `c` in that group and above it. */
static uint64_t limit_of_line(const char *root, char *line, const struct controller *c)
{
    char mount[FILE_MAX];
    line[strcspn(line, "\n")] = '\0';
    char *list = strchr(line, ':');
    char *group = list ? strchr(list + 1, ':') : NULL;
    if (!group)
        return UINT64_MAX;
    *group++ = '\0';
    list++;
    if (strcmp(group, "/") == 0)
        group = line + strlen(line); /* the mount itself */
    if (*list == '\0') {
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
        uint64_t alone = least_upwards(mount, group, c->v2);
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/unified", root);
        return u64_min(alone, least_upwards(mount, group, c->v2));
    }
    if (!has_word(list, c->name))
        return UINT64_MAX;
    snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/%s", root, list); /* "cpu,cpuacct" */
    uint64_t together = least_upwards(mount, group, c->v1);
    snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/%s", root, c->name);
    return u64_min(together, least_upwards(mount, group, c->v1));
}

static uint64_t least_of_all(const char *root, const struct controller *c)
{
    char line[FILE_MAX];
    uint64_t least = UINT64_MAX;
    snprintf(line, sizeof(line), "%s/proc/self/cgroup", root);
    FILE *f = fopen(line, "re");
    if (!f)
        return least;
    while (fgets(line, sizeof(line), f))
        least = u64_min(least, limit_of_line(root, line, c));
    fclose(f);
    return least;
}

/* ---- for others ---- */

uint64_t cgroup_memory_limit(const char *root)
{
    static const struct controller memory = {"memory", memory_v1, memory_v2};
    return least_of_all(root, &memory);
}

uint64_t cgroup_machine_memory(const char *root)
{
    char line[256];
    uint64_t kib = 0;
    snprintf(line, sizeof(line), "%s/proc/meminfo", root);
    FILE *f = fopen(line, "re");
    if (!f)
        return UINT64_MAX;
    while (kib == 0 && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemTotal: %" SCNu64 " kB", &kib) != 1)
            kib = 0;
    fclose(f);
    return kib ? kib << 10 : UINT64_MAX;
}

uint32_t cgroup_cpu_limit(const char *root)
{
    static const struct controller cpu = {"cpu", cpus_v1, cpus_v2};
    uint64_t cpus = least_of_all(root, &cpu);
    return (uint32_t)u64_min(u64_max(cpus, 1), UINT32_MAX);
}

uint32_t cgroup_cpus_usable(const char *root)
{
    cpu_set_t set;
    /* Machines of more than 1024 CPUs refuse the small set: then the quota alone decides. */
    uint32_t allowed = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set)
                                                                    : CPU_SETSIZE;
    uint32_t timed = cgroup_cpu_limit(root);
    return allowed < timed ? allowed : timed;
}
