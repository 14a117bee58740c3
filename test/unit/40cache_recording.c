// SPDX-License-Identifier: MIT
// Recording (trace.file): each request of each recorded key is in the file, as it was; what does
// not fit is counted; a full disk or a full file ends it; nothing that is no recording is replaced.

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nigh/nigh.h>

#include "base/base.h"
#include "cache/cache.h"
#include "l1/l1.h"
#include "support/check.h"

#define RECORDS_MAX 65536u

/* A recording, read. */
struct file {
    char folder[64];
    char path[96];
    struct nigh_trace_header header;
    size_t count;
    struct nigh_trace_record records[RECORDS_MAX];
};
static struct file file;

/* An L1 that loads, and records. */
struct recorder {
    struct nigh *cache;
    struct nigh_space *space;
    uint32_t loads;
};

static void make_folder(void)
{
    snprintf(file.folder, sizeof(file.folder), "/tmp/nigh-recording-XXXXXX");
    REQUIRE(mkdtemp(file.folder));
    snprintf(file.path, sizeof(file.path), "%s/trace", file.folder);
}

static void remove_folder(void)
{
    unlink(file.path);
    CHECK_EQ(rmdir(file.folder), 0);
}

/* Read the file whole. */
static void read_file(void)
{
    FILE *f = fopen(file.path, "rb");
    REQUIRE(f);
    REQUIRE_EQ(fread(&file.header, sizeof(file.header), 1, f), 1);
    file.count = fread(file.records, sizeof(file.records[0]), RECORDS_MAX, f);
    fclose(f);
    CHECK(memcmp(file.header.magic, NIGH_TRACE_MAGIC, 8) == 0);
    CHECK_EQ(file.header.version, NIGH_TRACE_VERSION);
    CHECK_EQ(file.header.header_bytes, 64);
    CHECK_EQ(file.header.record_bytes, 24);
}

/* Count the records of an operation that ended so. */
static size_t count_of(enum nigh_trace_op op, enum nigh_trace_outcome outcome)
{
    size_t n = 0;
    for (size_t i = 0; i < file.count; i++)
        n += file.records[i].op == op && file.records[i].outcome == outcome;
    return n;
}

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct recorder *r = arg;
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *key = nigh_fill_key(fills[i], &len);
        r->loads++;
        if (key[0] == '-')
            nigh_fill_absent(fills[i]);
        else if (key[0] == '!')
            nigh_fill_error(fills[i], 7);
        else
            nigh_fill_value(fills[i], "some value", 10);
    }
    return 0;
}

static struct nigh_options options(uint32_t sample)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.threads = NIGH_THREADS_NONE;
    o.trace_file = file.path;
    o.trace_sample = sample;
    o.log_to = NIGH_LOG_TO_NONE;
    o.space.jitter_percent = NIGH_NONE;
    return o;
}

static void open_with(struct recorder *r, const struct nigh_options *o)
{
    *r = (struct recorder){0};
    REQUIRE_EQ(nigh_open(o, &r->cache), 0);
    REQUIRE_EQ(nigh_space_open(r->cache, "pages", NULL, load, NULL, r, &r->space), 0);
}

static int fetch(struct recorder *r, const char *key)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = nigh_fetch(r->space, key, strlen(key), NULL, &value);
    nigh_release(&value);
    return rc;
}

static void fetch_number(struct recorder *r, unsigned number)
{
    char key[24];
    snprintf(key, sizeof(key), "key:%u", number);
    CHECK_EQ(fetch(r, key), NIGH_FRESH);
}

TEST(each_request_is_there_as_it_was)
{
    struct recorder r;
    make_folder();
    struct nigh_options o = options(1);
    open_with(&r, &o);
    CHECK_EQ(fetch(&r, "a"), NIGH_FRESH);
    for (unsigned i = 0; i < 7; i++)
        CHECK_EQ(fetch(&r, "a"), NIGH_FRESH);
    CHECK_EQ(fetch(&r, "-b"), NIGH_ABSENT);
    CHECK_EQ(fetch(&r, "-b"), NIGH_ABSENT);
    CHECK_EQ(fetch(&r, "!c"), NIGH_ELOADER);
    CHECK_EQ(nigh_put(r.space, "d", 1, "1234", 4, NULL), 0);
    CHECK_EQ(nigh_invalidate(r.space, "d", 1, NULL), 0);
    struct nigh_call alone = NIGH_CALL_INIT;
    alone.flags = NIGH_L1_ONLY;
    struct nigh_value value = NIGH_VALUE_INIT;
    CHECK_EQ(nigh_get(r.space, "d", 1, &alone, &value), NIGH_MISS);
    alone.flags |= NIGH_QUIET;
    CHECK_EQ(nigh_get(r.space, "a", 1, &alone, &value), NIGH_FRESH);
    nigh_release(&value);
    nigh_close(r.cache);
    read_file();
    CHECK_EQ(file.header.sample, 1);
    CHECK_EQ(file.header.dropped, 0);
    CHECK_EQ(file.header.reads, 7 + 3 + 1);
    CHECK_EQ(count_of(NIGH_TRACE_READ, NIGH_TRACE_FRESH), 7);
    CHECK_EQ(count_of(NIGH_TRACE_READ, NIGH_TRACE_MISS), 3);
    CHECK_EQ(count_of(NIGH_TRACE_READ, NIGH_TRACE_ABSENT), 1);
    CHECK_EQ(count_of(NIGH_TRACE_READ, NIGH_TRACE_PROBE), 1);
    CHECK_EQ(count_of(NIGH_TRACE_LOAD, NIGH_TRACE_FRESH), 1);
    CHECK_EQ(count_of(NIGH_TRACE_LOAD, NIGH_TRACE_ABSENT), 1);
    CHECK_EQ(count_of(NIGH_TRACE_LOAD, NIGH_TRACE_FAILED), 1);
    CHECK_EQ(count_of(NIGH_TRACE_PUT, NIGH_TRACE_FRESH), 1);
    CHECK_EQ(count_of(NIGH_TRACE_INVALIDATE, NIGH_TRACE_FRESH), 1);
    CHECK_EQ(file.records[0].op, NIGH_TRACE_SPACE);
    CHECK_EQ(file.records[0].size, 5);
    CHECK(memcmp(&file.records[1], "pages\0", 6) == 0);
    struct nigh_trace_record first = file.records[2];
    CHECK_EQ(first.op, NIGH_TRACE_READ);
    CHECK_EQ(first.outcome, NIGH_TRACE_MISS);
    CHECK_EQ(first.space, file.records[0].space);
    CHECK_EQ(first.key, hash_bytes(bytes_of("a", 1)) ^ hash_bytes(bytes_of("pages", 5)));
    CHECK_EQ(file.records[3].op, NIGH_TRACE_LOAD);
    CHECK_EQ(file.records[3].size, 10);
    CHECK_EQ(file.records[4].op, NIGH_TRACE_LIFE);
    CHECK_EQ(file.records[5].size, 10);
    remove_folder();
}

static const struct nigh_trace_record *next_of(enum nigh_trace_op op, size_t *at)
{
    while (*at < file.count && file.records[*at].op != op)
        (*at)++;
    REQUIRE(*at < file.count);
    return &file.records[(*at)++];
}

static void put_tagged(struct recorder *r, const char *key, uint32_t soft_ttl_ms)
{
    static const char *const tags[] = {"a", "b", "c", "d", "e"};
    struct nigh_call call = NIGH_CALL_INIT;
    call.tags = tags;
    call.tag_count = ARRAY_COUNT(tags);
    call.soft_ttl_ms = soft_ttl_ms;
    CHECK_EQ(nigh_put(r->space, key, strlen(key), "value", 5, &call), 0);
}

static void fetch_and_forget(struct recorder *r, const char *key)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    call.flags = NIGH_NO_STORE;
    CHECK_EQ(nigh_fetch(r->space, key, strlen(key), &call, &value), NIGH_FRESH);
    nigh_release(&value);
}

/* Of a value its lifetimes and groups are there; of groups the fall, if a value had them. A value
 * that may not be kept has no lifetimes. */
TEST(lifetimes_and_groups_are_there)
{
    struct recorder r;
    size_t at = 0;
    make_folder();
    struct nigh_options o = options(1);
    o.space.soft_ttl_ms = 60000;
    o.space.stale_ms = 5000;
    open_with(&r, &o);
    put_tagged(&r, "k", 9000);
    CHECK_EQ(nigh_put(r.space, "plain", 5, "value", 5, NULL), 0);
    fetch_and_forget(&r, "x");
    const struct nigh_target targets[] = {{NIGH_TARGET_TAG, NULL, "nobody's", 8, 0},
                                          {NIGH_TARGET_TAG, NULL, "c", 1, 0},
                                          {NIGH_TARGET_SPACE, r.space, NULL, 0, 0},
                                          {NIGH_TARGET_ALL, NULL, NULL, 0, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++)
        CHECK_EQ(nigh_invalidate_many(r.cache, &targets[i], 1, NULL), 0);
    nigh_close(r.cache);
    read_file();
    uint64_t space = next_of(NIGH_TRACE_SPACE, &at)->cost_us;
    const struct nigh_trace_record *life = next_of(NIGH_TRACE_LIFE, &at);
    CHECK(life->size <= 9000 && life->size > 4000); /* what was left of it when it was noted */
    CHECK_EQ(life->cost_us, 5000);
    CHECK_EQ(life->key, file.records[2].key);
    const struct nigh_trace_record *four = next_of(NIGH_TRACE_GROUPS, &at);
    const struct nigh_trace_record *more = next_of(NIGH_TRACE_GROUPS, &at);
    CHECK(four->size && four->size >> 16 && four->cost_us && four->cost_us >> 16);
    CHECK(more->size && !(more->size >> 16) && !more->cost_us);
    life = next_of(NIGH_TRACE_LIFE, &at);
    CHECK(life->size > 50000 && life->size <= 60010);
    CHECK_EQ(count_of(NIGH_TRACE_LOAD, NIGH_TRACE_FRESH), 1);
    CHECK_EQ(count_of(NIGH_TRACE_LIFE, NIGH_TRACE_FRESH), 2);
    CHECK_EQ(count_of(NIGH_TRACE_GROUP, NIGH_TRACE_FRESH), 3);
    CHECK_EQ(next_of(NIGH_TRACE_GROUP, &at)->key, four->cost_us & 0xffff);
    CHECK_EQ(next_of(NIGH_TRACE_GROUP, &at)->key, space);
    CHECK_EQ(next_of(NIGH_TRACE_GROUP, &at)->key, GROUP_SLOT_ALL);
    remove_folder();
}

/* Later each time somebody looks. */
static uint64_t hasty_clock(void *arg)
{
    return *(uint64_t *)arg += NS_PER_MS;
}

/* Else events of other stripes would come between when they are merged. */
TEST(what_a_request_brought_is_of_the_same_time)
{
    struct recorder r;
    uint64_t now_ns = NS_PER_S;
    size_t at = 0;
    make_folder();
    struct nigh_options o = options(1);
    o.clock = hasty_clock;
    o.clock_arg = &now_ns;
    open_with(&r, &o);
    put_tagged(&r, "k", 9000);
    nigh_close(r.cache);
    read_file();
    CHECK(next_of(NIGH_TRACE_PUT, &at)->delta_us > 0);
    CHECK_EQ(next_of(NIGH_TRACE_LIFE, &at)->delta_us, 0);
    CHECK_EQ(next_of(NIGH_TRACE_GROUPS, &at)->delta_us, 0);
    CHECK_EQ(next_of(NIGH_TRACE_GROUPS, &at)->delta_us, 0);
    remove_folder();
}

/* What the file says is what the counters say, of the keys in the sample. */
TEST(of_a_sampled_key_each_request_is_there_and_of_others_none)
{
    enum { KEYS = 4096, ROUNDS = 9 };
    static uint64_t seen[KEYS];
    size_t keys = 0, reads = 0;
    struct recorder r;
    make_folder();
    struct nigh_options o = options(64);
    open_with(&r, &o);
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < KEYS; i++) {
            fetch_number(&r, i);
            if (i % 512 == 0)
                nigh_tick(r.cache);
        }
    nigh_close(r.cache);
    read_file();
    CHECK_EQ(file.header.dropped, 0);
    for (size_t i = 2; i < file.count; i++) {
        size_t k = 0;
        if (file.records[i].op != NIGH_TRACE_READ)
            continue;
        while (k < keys && seen[k] != file.records[i].key)
            k++;
        if (k == keys)
            seen[keys++] = file.records[i].key;
        reads++;
    }
    CHECK(keys > KEYS / 64 / 4 && keys < KEYS / 64 * 4);
    CHECK_EQ(reads, ROUNDS * keys);
    CHECK_EQ(file.header.reads, ROUNDS * KEYS); /* of those that are not sampled, too */
    CHECK_EQ(count_of(NIGH_TRACE_READ, NIGH_TRACE_MISS), keys);
    remove_folder();
}

/* The curve has more keys marked while it watches a small cache; the file says one in 16. */
TEST(more_marks_for_the_curve_do_not_come_into_the_file)
{
    enum { KEYS = 4096 };
    struct recorder r;
    make_folder();
    struct nigh_options o = options(16);
    o.l1_entries = 512;
    o.l1_shards = 1;
    open_with(&r, &o);
    for (unsigned i = 0; i < 512; i++)
        fetch_number(&r, i);
    nigh_curve(r.cache, NIGH_STATS_JSON, NULL, 0);
    CHECK_EQ(l1_mark_mask(r.cache->l1), 1);
    for (unsigned i = 0; i < KEYS; i++) {
        fetch_number(&r, i);
        fetch_number(&r, i); /* a hit */
        if (i % 256 == 0)
            nigh_tick(r.cache);
    }
    nigh_close(r.cache);
    read_file();
    CHECK_EQ(file.header.sample, 16);
    size_t misses = 0, hits = 0;
    for (size_t i = 2; i < file.count; i++) {
        misses += file.records[i].op == NIGH_TRACE_READ &&
                  file.records[i].outcome == NIGH_TRACE_MISS;
        hits += file.records[i].op == NIGH_TRACE_READ &&
                file.records[i].outcome == NIGH_TRACE_FRESH;
    }
    CHECK(misses > KEYS / 16 / 2 && misses < KEYS / 16 * 2);
    CHECK(hits > KEYS / 16 / 2 && hits < KEYS / 16 * 2);
    remove_folder();
}

/* Ten million hits a second leave 7,812 events in the 50 ms until the next round. */
TEST(what_a_busy_thread_leaves_until_the_next_round_has_room)
{
    struct recorder r;
    make_folder();
    struct nigh_options o = options(1);
    open_with(&r, &o);
    for (unsigned i = 0; i < 7812; i++)
        fetch_number(&r, i % 100);
    nigh_close(r.cache);
    read_file();
    CHECK_EQ(file.header.dropped, 0);
    CHECK_EQ(file.count - 2, 7812 + 100 + 100);
    remove_folder();
}

TEST(what_finds_no_room_is_counted)
{
    struct recorder r;
    make_folder();
    struct nigh_options o = options(1);
    open_with(&r, &o);
    for (unsigned i = 0; i < 40000; i++)
        fetch_number(&r, i % 100); /* no tick: nobody writes */
    nigh_close(r.cache);
    read_file();
    CHECK(file.header.dropped > 0);
    CHECK_EQ(file.header.dropped + file.count - 2, 40000 + 100 + 100);
    CHECK_EQ(file.header.reads, 40000);
    remove_folder();
}

TEST(a_full_file_ends_the_recording_and_nothing_else)
{
    struct recorder r;
    make_folder();
    struct nigh_options o = options(1);
    o.trace_size = 8192;
    open_with(&r, &o);
    for (unsigned i = 0; i < 1000; i++) {
        fetch_number(&r, i % 10);
        if (i % 100 == 0)
            nigh_tick(r.cache);
    }
    CHECK_EQ(nigh_stats_value(r.cache, NULL, "trace_recorded"), (8192 - 64) / 24 - 2);
    CHECK_EQ(atomic_load(&r.cache->sample.wanted) & 1, 0);
    nigh_close(r.cache);
    struct stat st;
    CHECK_EQ(stat(file.path, &st), 0);
    CHECK(st.st_size <= 8192 && st.st_size > 8192 - 24);
    read_file();
    CHECK_EQ(file.header.reads, file.count - 2 - 20); /* and ten loads: none of what came later */
    remove_folder();
}

#if NIGH_FAULTS
TEST(a_full_disk_ends_the_recording_and_nothing_else)
{
    struct recorder r;
    make_folder();
    struct nigh_options o = options(1);
    open_with(&r, &o);
    fault_arm(FAULT_WRITE, 1);
    fetch_number(&r, 1);
    nigh_tick(r.cache);
    fault_arm(FAULT_WRITE, 0);
    CHECK_EQ(atomic_load(&r.cache->sample.wanted) & 1, 0);
    fetch_number(&r, 2);
    nigh_tick(r.cache);
    nigh_close(r.cache);
    struct stat st;
    CHECK_EQ(stat(file.path, &st), 0);
    CHECK_EQ(st.st_size, 64);
    remove_folder();
}
#endif

TEST(a_file_that_is_no_recording_is_left_alone)
{
    struct nigh *cache;
    char text[16];
    make_folder();
    struct nigh_options o = options(1);
    int fd = open(file.path, O_WRONLY | O_CREAT, 0600);
    REQUIRE(fd >= 0);
    REQUIRE_EQ(write(fd, "precious data", 13), 13);
    close(fd);
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EOPTION);
    CHECK(strstr(nigh_options_error(), "trace.file"));
    fd = open(file.path, O_RDONLY);
    CHECK_EQ(read(fd, text, sizeof(text)), 13);
    close(fd);
    CHECK_EQ(truncate(file.path, 0), 0);
    REQUIRE_EQ(nigh_open(&o, &cache), 0); /* an empty one may be replaced */
    nigh_close(cache);
    REQUIRE_EQ(nigh_open(&o, &cache), 0); /* ... and a recording */
    nigh_close(cache);
    remove_folder();
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EOPTION); /* there is no such folder */
    CHECK(strstr(nigh_options_error(), "No such file"));
    o.trace_file = "/dev/null";
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EOPTION);
}

/* What has no name any more is written nevertheless; what has it is the second's alone. */
TEST(two_at_one_path_do_not_disturb_each_other)
{
    struct recorder first, second;
    make_folder();
    struct nigh_options o = options(1);
    open_with(&first, &o);
    for (unsigned i = 0; i < 100; i++)
        fetch_number(&first, i);
    nigh_tick(first.cache);
    REQUIRE_EQ(chmod(file.path, 0640), 0);
    open_with(&second, &o);
    for (unsigned i = 0; i < 50; i++) {
        fetch_number(&first, i);
        fetch_number(&second, i);
        nigh_tick(first.cache);
        nigh_tick(second.cache);
    }
    CHECK_EQ(nigh_stats_value(first.cache, NULL, "trace_recorded"), 300 + 50);
    nigh_close(second.cache);
    fetch_number(&first, 1);
    nigh_close(first.cache);
    read_file();
    CHECK_EQ(file.header.reads, 50);
    CHECK_EQ(file.count, 2 + 50 + 50 + 50);
    CHECK_EQ(count_of(NIGH_TRACE_READ, NIGH_TRACE_MISS), 50);
    CHECK_EQ(count_of(NIGH_TRACE_LOAD, NIGH_TRACE_FRESH), 50);
    struct stat st;
    REQUIRE_EQ(stat(file.path, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0640); /* as somebody has set it */
    remove_folder();                   /* nothing is left beside it */
}

#define NOBODY    65534
#define NOT_TRIED 77

/* Record in a process without the rights of root, who may write to any folder. Returns its status:
 * 0 if another recording there was refused meanwhile. */
static int record_as_nobody(void)
{
    struct recorder r;
    struct nigh *other;
    struct nigh_options o = options(1);
    if (geteuid() == 0 && (chown(file.path, NOBODY, (gid_t)-1) != 0 || setuid(NOBODY) != 0))
        return NOT_TRIED;
    open_with(&r, &o);
    fetch_number(&r, 1);
    bool refused = nigh_open(&o, &other) == NIGH_EOPTION &&
                   strstr(nigh_options_error(), "another process records there");
    nigh_close(r.cache);
    return refused ? 0 : 1;
}

TEST(in_a_folder_that_is_closed_one_process_writes_into_the_file_that_is_there)
{
    struct recorder r;
    int status;
    make_folder();
    struct nigh_options o = options(1);
    open_with(&r, &o);
    nigh_close(r.cache);
    REQUIRE_EQ(chmod(file.folder, 0555), 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(record_as_nobody());
    REQUIRE_EQ(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != NOT_TRIED) {
        CHECK_EQ(status, 0);
        read_file();
        CHECK_EQ(file.count, 2 + 3);
    }
    REQUIRE_EQ(chmod(file.folder, 0700), 0);
    remove_folder();
}

TEST(a_link_leads_to_the_recording)
{
    struct recorder r;
    char link[96];
    make_folder();
    snprintf(link, sizeof(link), "%s/link", file.folder);
    struct nigh_options o = options(1);
    open_with(&r, &o);
    nigh_close(r.cache);
    REQUIRE_EQ(symlink(file.path, link), 0);
    o.trace_file = link;
    open_with(&r, &o);
    fetch_number(&r, 1);
    nigh_close(r.cache);
    read_file();
    CHECK_EQ(file.count, 2 + 3);
    CHECK_EQ(unlink(link), 0);
    remove_folder();
}

/* Only root can give a link away. */
TEST(a_link_of_another_user_leads_nowhere)
{
    struct nigh *cache;
    char link[96];
    if (geteuid() != 0)
        return;
    make_folder();
    snprintf(link, sizeof(link), "%s/link", file.folder);
    struct nigh_options o = options(1);
    o.trace_file = link;
    REQUIRE_EQ(symlink(file.path, link), 0);
    REQUIRE_EQ(lchown(link, 12345, 12345), 0);
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EOPTION);
    CHECK(strstr(nigh_options_error(), "another user's link"));
    CHECK_EQ(unlink(link), 0);
    remove_folder();
}

TEST(each_process_has_a_file_of_its_own)
{
    struct recorder r;
    char path[96], expected[96];
    make_folder();
    snprintf(path, sizeof(path), "%s/{pid}.{pid}{x}.t", file.folder); /* each of them is replaced */
    snprintf(expected, sizeof(expected), "%s/%ld.%ld{x}.t", file.folder, (long)getpid(),
             (long)getpid());
    struct nigh_options o = options(1);
    o.trace_file = path;
    open_with(&r, &o);
    CHECK_EQ(access(expected, F_OK), 0);
    nigh_close(r.cache);
    unlink(expected);
    remove_folder();
}

/* With a thread that writes, while the child of a fork, which has none, writes nothing. */
TEST(a_child_of_fork_records_nothing)
{
    struct recorder r;
    make_folder();
    struct nigh_options o = options(1);
    o.threads = NIGH_THREADS_OWN;
    open_with(&r, &o);
    fetch_number(&r, 1);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct nigh_value value = NIGH_VALUE_INIT;
        int rc = nigh_fetch(r.space, "x", 1, NULL, &value);
        _exit(rc == NIGH_EFORKED ? 0 : 1);
    }
    int status;
    REQUIRE_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    fetch_number(&r, 1);
    CHECK_WITHIN(10000, nigh_stats_value(r.cache, NULL, "trace_recorded") == 4);
    nigh_close(r.cache);
    read_file();
    CHECK_EQ(file.count, 2 + 4);
    remove_folder();
}

TEST(it_is_off_by_default)
{
    struct nigh *cache;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.threads = NIGH_THREADS_NONE;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK(!cache->recording);
    nigh_close(cache);
    o.trace_file = "";
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK(!cache->recording);
    nigh_close(cache);
    o.trace_file = "/tmp/x";
    o.trace_sample = 48;
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EOPTION);
}
