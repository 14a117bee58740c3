// SPDX-License-Identifier: MIT
// The program nigh as people and scripts use it: at the socket of a process, at those of several,
// on a terminal; what it prints, and how it ends.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "cache/cache.h"
#include "support/tool.h"

TEST(a_process_is_asked_and_told)
{
    struct world w;
    struct tool_place p;
    tool_make_folder(&p);
    tool_open_at(&w, &p, "s", NULL);
    ask_fetch(w.space, "a key", NULL);
    CHECK_EQ(tool_run("health -S %s", p.path), 0);
    CHECK(tool_says("ok: L1 alone") && tool_says(", up for "));
    CHECK_EQ(tool_run("stats -S %s json", p.path), 0);
    CHECK(tool_says("{\"gauges\""));
    CHECK_EQ(tool_run("explain -S %s %s 'a key'", p.path, w.space->name), 0);
    CHECK(tool_says("L1 has it"));
    CHECK_EQ(tool_run("set -S %s l1.memory 64m", p.path), 0);
    CHECK_EQ(tool_run("get -S %s l1.memory", p.path), 0);
    CHECK_STR(tool_out, "64MiB\n");
    CHECK_EQ(tool_run("set -S %s l1.memory 1", p.path), 1);
    CHECK(tool_says("nigh: l1.memory=1"));
    CHECK_EQ(tool_run("invalidate -S %s --space %s 'a key'", p.path, w.space->name), 0);
    CHECK_EQ(ask_get(w.space, "a key", NULL).outcome, NIGH_MISS);
    nigh_put(w.space, "\0 \\", 3, "v", 1, NULL); /* no word of a shell can be this key */
    CHECK_EQ(tool_run("explain -S %s %s '\\x00 \\x5c' --escaped", p.path, w.space->name), 0);
    CHECK(tool_says("L1 has it") && tool_says("\"\\x00 \\x5c\""));
    CHECK_EQ(tool_run("options -S %s", p.path), 0);
    CHECK_EQ(tool_run("options -S %s %s", p.path, w.space->name), 0);
    CHECK(tool_says("space.loads ") && !strstr(tool_out, "l1.memory"));
    CHECK_EQ(tool_run("spaces -S %s", p.path), 0);
    CHECK(tool_says("own cap") && tool_says(w.space->name));
    CHECK_EQ(tool_run("get -S %s %s load", p.path, w.space->name), 0);
    CHECK_STR(tool_out, "1\n");
    CHECK_EQ(tool_run("hot -S %s nope", p.path), 1);
    CHECK(tool_says("no space of this name is open; open are: s"));
    CHECK_EQ(tool_run("watch -S %s", p.path), 3);
    CHECK(tool_says("the process has no redis.uri"));
    CHECK_EQ(tool_run("hot -S %s", p.path), 0);
    CHECK_EQ(tool_run("curve -S %s json", p.path), 0);
    CHECK(tool_says("{"));
    CHECK_EQ(tool_run("send -S %s prompt", p.path), 64); /* it was "another program's socket" */
    CHECK(tool_says("prompt is for a connection that stays"));
    CHECK_EQ(tool_run("send -S %s help", p.path), 0);
    CHECK(tool_says("invalidate key SPACE KEY..."));
    setenv("TZ", "LOCAL-5:30", 1);
    CHECK_EQ(tool_run("top --once -S %s", p.path), 0);
    unsetenv("TZ");
    CHECK(tool_says("nigh top   process ") && tool_says(", up for ") && tool_says(" UTC\n"));
    CHECK(tool_is_now(strstr(tool_out, " UTC") ? strstr(tool_out, " UTC") - 8 : NULL));
    CHECK(tool_says("\nhealth   ok: L1 alone, without redis.uri\nmemory   "));
    CHECK(tool_says(w.space->name));
    world_close(&w);
    rmdir(p.folder);
}

/* Whoever pastes a line of README gets an answer. */
TEST(each_command_in_the_readme_works)
{
    struct world w;
    struct tool_place p;
    struct nigh_space *users;
    char line[200];
    unsigned count = 0;
    tool_make_folder(&p);
    tool_open_at(&w, &p, "app.1", NULL);
    REQUIRE_EQ(nigh_space_open(w.cache, "users", NULL, NULL, NULL, NULL, &users), 0);
    FILE *readme = fopen(NIGH_README, "r");
    REQUIRE(readme);
    snprintf(line, sizeof(line), "%s/app.*", p.folder);
    setenv("NIGH_SOCKET", line, 1);
    while (fgets(line, sizeof(line), readme)) {
        if (strncmp(line, "    nigh ", 9) != 0)
            continue;
        line[strcspn(line, "#\n")] = '\0';
        count++;
        if (!CHECK_EQ(tool_run("%s", line + 9), 0))
            check_note("%s: %s", line, tool_out);
    }
    CHECK(count >= 9);
    unsetenv("NIGH_SOCKET");
    fclose(readme);
    world_close(&w);
    rmdir(p.folder);
}

/* ---- a terminal ---- */

struct terminal {
    int fd;
    pid_t pid;
    char out[65536];
    size_t len;
};

static void start_on_terminal(struct terminal *t, struct winsize size, const char *command,
                              const char *path)
{
    char *argv[] = {NIGH_TOOL, (char *)(uintptr_t)command, "-S", (char *)(uintptr_t)path, NULL};
    *t = (struct terminal){.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    REQUIRE(t->fd >= 0 && grantpt(t->fd) == 0 && unlockpt(t->fd) == 0);
    REQUIRE_EQ(ioctl(t->fd, TIOCSWINSZ, &size), 0);
    int tty = open(ptsname(t->fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(tty >= 0);
    setenv("TERM", "xterm", 1);
    t->pid = fork();
    if (t->pid == 0) {
        setpgid(0, 0); /* ^Z stops nobody of a group that no shell, or test, is the parent of */
        dup2(tty, STDIN_FILENO);
        dup2(tty, STDOUT_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    close(tty);
}

/* Reads more of what it shows. Returns whether this is among it. */
static bool shows(struct terminal *t, const char *wanted)
{
    struct pollfd in = {.fd = t->fd, .events = POLLIN};
    while (t->len < sizeof(t->out) - 1 && poll(&in, 1, 0) > 0) {
        ssize_t n = read(t->fd, t->out + t->len, sizeof(t->out) - 1 - t->len);
        if (n <= 0)
            break;
        t->len += (size_t)n;
    }
    return strstr(t->out, wanted) != NULL;
}

/* Returns the longest line, in bytes, of the first screen. */
static size_t longest_line(const char *text)
{
    size_t most = 0;
    const char *at = strstr(text, "\033[H") + 3;
    for (const char *end = strstr(at, "\033[J"); at < end; at += strcspn(at, "\n") + 1) {
        at += strncmp(at, "\033[K", 3) == 0 ? 3 : 0;
        size_t len = strcspn(at, "\r");
        most = len > most ? len : most;
    }
    return most;
}

TEST(a_narrow_terminal_has_no_line_in_two)
{
    static struct terminal t;
    struct world w;
    struct tool_place p;
    int status = -1;
    tool_make_folder(&p);
    tool_open_at(&w, &p, "s", NULL);
    start_on_terminal(&t, (struct winsize){.ws_row = 12, .ws_col = 40}, "top", p.path);
    CHECK_WITHIN(WORLD_PATIENCE_MS, shows(&t, "\033[J\033[H")); /* once, and once more */
    CHECK_EQ(longest_line(t.out), 40);
    CHECK(strstr(t.out, "space        reads/s   L1%"));
    kill(t.pid, SIGTSTP); /* as ^Z does */
    CHECK_WITHIN(WORLD_PATIENCE_MS, waitpid(t.pid, &status, WUNTRACED | WNOHANG) == t.pid);
    CHECK(WIFSTOPPED(status));
    CHECK_WITHIN(WORLD_PATIENCE_MS, shows(&t, "\033[?1049l")); /* the shell has its screen */
    kill(t.pid, SIGCONT);
    REQUIRE_EQ(write(t.fd, "q", 1), 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, waitpid(t.pid, &status, WNOHANG) == t.pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(t.fd);
    world_close(&w);
    rmdir(p.folder);
}

/* Makes a file as a process leaves it that was killed; its path is the place's. */
static void leave_dead(struct tool_place *p, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(p->path, sizeof(p->path), "%s/%s", p->folder, name);
    strcpy(at.sun_path, p->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE_EQ(bind(fd, (struct sockaddr *)(void *)&at, sizeof(at)), 0);
    close(fd);
}

TEST(several_processes_are_asked_by_a_pattern)
{
    struct world a, b;
    struct tool_place p;
    tool_make_folder(&p);
    tool_open_at(&a, &p, "s.1", NULL);
    tool_open_at(&b, &p, "s.2", NULL);
    ask_fetch(a.space, "k", NULL);
    ask_fetch(b.space, "k", NULL);
    CHECK_EQ(tool_run("get -S '%s/s.*' entries", p.folder), 0);
    CHECK(tool_says("s.1:\n1\n") && tool_says("s.2:\n1\n"));
    CHECK_EQ(tool_run("stats json -S '%s/s.*' 2>/dev/null | python3 -c '"
                      "import json, sys\n"
                      "text, ends = sys.stdin.read(), []\n"
                      "while text: ends.append(json.JSONDecoder().raw_decode(text)); "
                      "text = text[ends[-1][1]:].lstrip()\n"
                      "print(len(ends), \"of it\")'", p.folder), 0); /* paths stood in between */
    CHECK(tool_says("2 of it\n"));
    CHECK_EQ(tool_run("hot json -S '%s/s.*'", p.folder), 0);
    CHECK(tool_says("s.1:\n{") && tool_says("s.2:\n{"));
    CHECK_EQ(tool_run("get -S '%s/s.*' nope", p.folder), 1);
    CHECK(tool_says("s.1: no option") && tool_says("s.2: no option")); /* whose answer it is */
    leave_dead(&p, "s.3");
    CHECK_EQ(tool_run("top --once -S '%s/s.*'", p.folder), 0);
    CHECK(tool_says("2 of 2 processes") && tool_says("entries  2, "));
    CHECK(tool_says("s.3: its process is no more"));
    for (int i = 0; i < 200; i++)
        CHECK(ask_get(a.space, "k", NULL).outcome >= 0 && ask_get(b.space, "k", NULL).outcome >= 0);
    CHECK_EQ(tool_run("top --once -S '%s/s.*'", p.folder), 0);
    CHECK(tool_says("hits/s") && tool_says(" k\n"));
    CHECK_EQ(tool_run("health -S '%s/s.*'", p.folder), 0);
    CHECK_EQ(tool_run("health -S '%s/s.3'", p.folder), 3);
    CHECK_EQ(tool_run("invalidate -S '%s/s.*' --all", p.folder), 0);
    world_close(&b);
    world_close(&a);
    unlink(p.path);
    rmdir(p.folder);
}

struct misser {
    struct nigh_space *space;
    pthread_t thread;
    _Atomic bool ends;
};

static void *miss(void *arg)
{
    struct misser *m = arg;
    struct nigh_value value;
    for (; !atomic_load(&m->ends); check_pause())
        CHECK_EQ(nigh_get(m->space, "k", 1, NULL, &value), NIGH_MISS);
    return NULL;
}

/* Processes need not have the same spaces, and one may have more of them than are listed. */
TEST(top_knows_the_spaces_of_all_processes_and_counts_all_of_them)
{
    struct world a, b;
    struct tool_place p;
    struct misser m = {.ends = false};
    char name[16];
    tool_make_folder(&p);
    tool_open_at(&a, &p, "s.1", NULL);
    tool_open_at(&b, &p, "s.2", NULL);
    REQUIRE_EQ(nigh_space_open(b.cache, "of-b", NULL, NULL, NULL, NULL, &m.space), 0);
    CHECK_EQ(tool_run("top --once -S '%s/s.*'", p.folder), 0);
    CHECK(tool_says("\nof-b ") && !strstr(tool_out, "more spaces than"));
    for (unsigned i = 0; i < 70; i++) {
        snprintf(name, sizeof(name), "more%u", i);
        REQUIRE_EQ(nigh_space_open(b.cache, name, NULL, NULL, NULL, NULL, &m.space), 0);
    }
    REQUIRE_EQ(pthread_create(&m.thread, NULL, miss, &m), 0);
    CHECK_EQ(tool_run("top --once -S '%s/s.*'", p.folder), 0);
    CHECK(tool_says("\nmore61 ") && !strstr(tool_out, "\nmore62 "));
    CHECK(tool_says("\nthere are more spaces than these 64: nigh spaces lists all\n"));
    CHECK(tool_says("\nmisses   "));
    atomic_store(&m.ends, true);
    pthread_join(m.thread, NULL);
    world_close(&b);
    world_close(&a);
    rmdir(p.folder);
}

struct shedder {
    struct world *w;
    pthread_t thread;
    _Atomic bool ends;
};

static void shed_once(struct world *w)
{
    static const char bytes[8000];
    int64_t shed = world_count(w, "l1_shed");
    CHECK_EQ(nigh_set(w->cache, "l1.memory", "32m"), 0);
    for (unsigned i = 0; i < 2500; i++)
        CHECK_EQ(nigh_put(w->space, &i, sizeof(i), bytes, sizeof(bytes), NULL), 0);
    CHECK_EQ(nigh_set(w->cache, "l1.memory", "12m"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "l1_shed") > shed + 200);
}

static void *shed(void *arg)
{
    struct shedder *s = arg;
    while (!atomic_load(&s->ends))
        shed_once(s->w);
    return NULL;
}

/* As explain and health tell: what a smaller cap sheds is not what went for want of room. */
TEST(top_takes_nothing_for_evicted_that_a_smaller_cap_has_shed)
{
    struct world w;
    struct tool_place p;
    struct shedder s = {.w = &w};
    char evicted[16] = "";
    tool_make_folder(&p);
    tool_open_at(&w, &p, "s", NULL);
    shed_once(&w);
    REQUIRE_EQ(pthread_create(&s.thread, NULL, shed, &s), 0);
    CHECK_EQ(tool_run("top --once -S %s", p.path), 0);
    atomic_store(&s.ends, true);
    pthread_join(s.thread, NULL);
    const char *row = strstr(tool_out, "\ns ");
    CHECK(row && sscanf(row, "%*s %*s %*s %*s %*s %*s %*s %15s", evicted) == 1);
    CHECK_GT(world_count(&w, "l1_shed"), 400); /* some before, and most while it was measured */
    CHECK(strtod(evicted, NULL) < 100 && !strchr(evicted, 'k')); /* while it sheds, a put may */
    world_close(&w);
    rmdir(p.folder);
}

/* A slow machine may not answer within that time, either. */
static bool only_the_second_answers(const struct tool_place *p)
{
    return tool_run("get -S '%s/s.*' l1.shards --timeout 400", p->folder) == 3 &&
           strstr(tool_out, "s.1: the process does not answer") && strstr(tool_out, "s.2:\n");
}

/* As a stopped one: somebody listens, and never answers. */
TEST(a_process_that_does_not_answer_keeps_nobody_elses_answer)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct world w;
    struct tool_place p, hung;
    tool_make_folder(&p);
    hung = p;
    snprintf(hung.path, sizeof(hung.path), "%s/s.1", p.folder);
    strcpy(at.sun_path, hung.path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(fd, (struct sockaddr *)(void *)&at, sizeof(at)) == 0 && listen(fd, 5) == 0);
    tool_open_at(&w, &p, "s.2", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, only_the_second_answers(&p));
    CHECK_EQ(tool_run("top --once -S '%s/s.*'", p.folder), 0);
    CHECK(tool_says("1 of 2 processes"));
    close(fd);
    unlink(hung.path);
    world_close(&w);
    rmdir(p.folder);
}

TEST(what_is_wrong_has_clear_words_and_a_status)
{
    unsetenv("NIGH_SOCKET");
    CHECK_EQ(tool_run("health -S /tmp/nigh-there-is-none"), 3);
    CHECK(tool_says("No such file or directory"));
    CHECK_EQ(tool_run("health"), 64);
    CHECK(tool_says("NIGH_SOCKET"));
    CHECK_EQ(tool_run("nonsense"), 64);
    CHECK(tool_says("there is no command nonsense; there are:\n  top "));
    CHECK(tool_says("\n  send "));
    CHECK_EQ(tool_run("-S /tmp/x why pages k"), 64); /* by what it means, ... */
    CHECK(tool_says("there is no command why; did you mean:\n  health "));
    CHECK(tool_says("\n  explain     where a key is, and why it misses\n"));
    CHECK(!tool_says("\n  send "));
    CHECK_EQ(tool_run("explian"), 64); /* ... its letters, ... */
    CHECK(tool_says("did you mean:\n  explain "));
    CHECK_EQ(tool_run("help inval"), 64); /* ... or how it begins */
    CHECK(tool_says("did you mean:\n  invalidate "));
    CHECK_EQ(tool_run("health --nonsense"), 64);
    CHECK_EQ(tool_run("explain -S /tmp/x one"), 64);
    CHECK_EQ(tool_run("log -S /tmp/x"), 64);
    CHECK(tool_says("nigh: a word is missing: nigh log error|warn|info|debug (nigh help log)\n"));
    CHECK_EQ(tool_run("spaces json -S /tmp/x"), 64);
    CHECK(tool_says("nigh: spaces takes no words; json is one for:\n  stats "));
    CHECK(tool_says("\n  curve ") && !strstr(tool_out, "\n  get "));
    CHECK_EQ(tool_run("health now -S /tmp/x"), 64);
    CHECK(tool_says("nigh: health takes no words (nigh help health)\n"));
    CHECK_EQ(tool_run("get --redis unix:///tmp/nigh-there-is-none --timeout 100 k"), 64);
    CHECK(tool_says("--space S KEY is wanted"));
    CHECK_EQ(tool_run("invalidate --redis unix:///tmp/nigh-there-is-none --timeout 2000 --all"), 3);
    CHECK(tool_says("Redis cannot be used: connect: No such file or directory"));
    CHECK_EQ(tool_run("invalidate --redis http://x --all"), 3);
    CHECK(tool_says("redis.uri"));
    CHECK_EQ(tool_run("invalidate --redis http://x --all --timeout 5s"), 64);
    CHECK_EQ(tool_run("health --redis unix:///tmp/nigh-there-is-none"), 64); /* not "ok" */
    CHECK_EQ(tool_run("top --redis unix:///tmp/nigh-there-is-none"), 64);
    CHECK_EQ(tool_run("watch -S /tmp/nigh-there-is-none"), 3);
    CHECK(tool_says("No such file or directory"));
    CHECK_EQ(tool_run("invalidate -S /tmp/nigh-there-is-none --space s --all"), 64);
    CHECK_EQ(tool_run("invalidate -S /tmp/nigh-there-is-none --soft --space s k"), 64);
    CHECK_EQ(tool_run("stats -S /tmp/x --all"), 64); /* nothing is left out without a word */
    CHECK(tool_says("--all is nothing for the command stats"));
    CHECK_EQ(tool_run("invalidate -S /tmp/x --prefix p --all"), 64);
    CHECK(tool_says("--prefix is nothing for the command invalidate without --redis"));
    CHECK_EQ(tool_run("-S /tmp/nigh-there-is-none --timeout 7 health"), 3);
    CHECK_EQ(tool_run("-S /tmp/x"), 64);
    CHECK_EQ(tool_run("health -S"), 64);
    CHECK(tool_says("a value is wanted behind -S"));
    CHECK_EQ(tool_run("--help 2>&1 >/dev/full; exit $?"), 1);
    CHECK(tool_says("what was to be written is lost: No space left"));
    CHECK_EQ(tool_run("--help"), 0);
    CHECK(tool_says("exit status:"));
    CHECK(tool_says("invalidate: nobody heard"));
    CHECK_EQ(tool_run("invalidate --help"), 0);
    CHECK(tool_says("status is 1 where"));
    CHECK_EQ(tool_run("help watch"), 0);
    CHECK(tool_says("nigh watch [--redis URI]"));
    CHECK_EQ(tool_run("--version"), 0);
    CHECK(tool_says("nigh 0."));
    CHECK_EQ(tool_run("health -S %s", NIGH_TOOL), 3);
    CHECK(tool_says("it is no socket"));
    CHECK_EQ(tool_run("health -S /%0120d", 1), 3);
    CHECK(tool_says("at most 107 bytes"));
    CHECK_EQ(tool_run("invalidate -S /tmp/x --space s"), 64); /* which keys? */
    CHECK_EQ(tool_run("invalidate -S /tmp/x"), 64);
    CHECK_EQ(tool_run("invalidate -S /tmp/x --all k"), 64);
}

/* A script whose variable is not set must not end with 0, as if Redis, or a process, had heard. */
TEST(an_empty_value_was_taken_for_no_redis_at_all)
{
    CHECK_EQ(tool_run("get --redis '' --space s k"), 64);
    CHECK(tool_says("the value of --redis is empty: a variable that is not set?"));
    CHECK_EQ(tool_run("invalidate --redis= --all"), 64);
    CHECK(tool_says("the value of --redis is empty"));
    CHECK_EQ(tool_run("watch --redis '' --once --timeout 10"), 64);
    CHECK_EQ(tool_run("health -S ''"), 64);
    CHECK(tool_says("the value of --socket is empty"));
    setenv("NIGH_SOCKET", "", 1);
    CHECK_EQ(tool_run("health"), 64);
    CHECK(tool_says("which process?"));
    unsetenv("NIGH_SOCKET");
}

TEST(a_number_below_0_is_a_word_and_no_flag)
{
    struct world w;
    struct tool_place p;
    tool_make_folder(&p);
    tool_open_at(&w, &p, "s", NULL);
    CHECK_EQ(tool_run("set l1.memory -1 --socket=%s", p.path), 1);
    CHECK(tool_says("l1.memory=-1: bytes are wanted"));
    CHECK_EQ(tool_run("--socket=%s --timeout=60000 explain %s -1", p.path, w.space->name), 0);
    CHECK(tool_says("key        \"-1\""));
    CHECK_EQ(tool_run("invalidate --all=yes -S %s", p.path), 64); /* which takes none */
    CHECK(tool_says("there is no flag --all=yes"));
    world_close(&w);
    rmdir(p.folder);
}

/* Writes so many keys, one a line, the last of them in the cache. */
static void write_keys(const char *path, unsigned count)
{
    FILE *file = fopen(path, "w");
    REQUIRE(file);
    for (unsigned i = 1; i <= count; i++)
        fprintf(file, "a key of some bytes %u\n\n", i);
    fclose(file);
}

/* Its part of the list was told to nobody, nor was what stood behind; which it was, nobody said. */
TEST(a_name_that_cannot_be_spoils_no_others)
{
    struct world w;
    struct tool_place p;
    char keys[80], more[200];
    tool_make_folder(&p);
    snprintf(keys, sizeof(keys), "%s/keys", p.folder);
    write_keys(keys, 2000);
    tool_open_at(&w, &p, "s", NULL);
    ask_fetch(w.space, "last", NULL);
    snprintf(more, sizeof(more), "printf '%%01025d\\nlast\\n' 0 >>%s", keys);
    CHECK_EQ(system(more), 0);
    CHECK_EQ(tool_run("invalidate -S %s --space %s --stdin <%s", p.path, w.space->name, keys), 1);
    CHECK(tool_says("1 of 2002 names are left out, first number 2001: it has 1025 bytes, and 1 "));
    CHECK(tool_says("ok\n"));
    CHECK_EQ(ask_get(w.space, "last", NULL).outcome, NIGH_MISS);
    CHECK_EQ(tool_run("invalidate -S %s --tag ''", p.path), 1);
    CHECK(tool_says("first number 1: it has 0 bytes") && !strstr(tool_out, "ok"));
    snprintf(more, sizeof(more), "printf '\\\\x00%%01023d\\nlast\\r\\n' 0 >%s", keys);
    CHECK_EQ(system(more), 0);
    CHECK_EQ(tool_run("invalidate -S %s --space %s --escaped --stdin <%s", p.path, w.space->name,
                      keys), 0);
    CHECK(tool_says("1 of 2 names end in a carriage return"));
    unlink(keys);
    world_close(&w);
    rmdir(p.folder);
}

TEST(keys_without_number_go_in_parts)
{
    struct redis server;
    struct world w;
    struct tool_place p;
    char keys[80];
    redis_start(&server, NULL);
    tool_make_folder(&p);
    snprintf(keys, sizeof(keys), "%s/keys", p.folder);
    write_keys(keys, 5000);
    tool_open_at(&w, &p, "s", server.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH &&
                                        nigh_stats_value(w.cache, NULL, "listening") == 1);
    CHECK_EQ(nigh_set(w.cache, "redis.deadline", "20s"), 0); /* else a busy machine queues them */
    const char *last = "a key of some bytes 5000";
    ask_fetch(w.space, last, NULL);
    CHECK_EQ(tool_run("invalidate -S %s --space %s --stdin <%s", p.path, w.space->name, keys), 0);
    CHECK_STR(tool_out, "ok: heard by 0 others\n");
    CHECK_EQ(ask_get(w.space, last, NULL).outcome, NIGH_MISS);
    ask_fetch(w.space, last, NULL);
    CHECK_EQ(tool_run("invalidate --redis %s --space %s first --stdin --timeout 60000 <%s",
                      server.uri, w.space->name, keys), 0);
    CHECK(tool_says("accepted: 5001, heard by 1\n"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(w.space, last, NULL).outcome == NIGH_MISS);
    FILE *file = fopen(keys, "w");
    fwrite("a\0b\n", 1, 4, file);
    fclose(file);
    CHECK_EQ(tool_run("invalidate -S %s --space %s --stdin <%s", p.path, w.space->name, keys), 1);
    CHECK(tool_says("standard input: it has a zero byte: with --escaped \\x00 stands for one"));
    CHECK_EQ(tool_run("invalidate -S %s --tag --stdin </dev/null", p.path), 0); /* none is fine */
    unlink(keys);
    world_close(&w);
    rmdir(p.folder);
    redis_stop(&server);
}

/* ---- who answers is no process of ours ---- */

TEST(another_programs_socket_is_told_at_once)
{
    struct redis server;
    redis_start(&server, NULL);
    CHECK_EQ(tool_run("health -S %s --timeout 86400000", server.socket), 3);
    CHECK(tool_says("what it answers is none of nigh's"));
    CHECK_EQ(tool_run("top -S %s --timeout 86400000", server.socket), 3);
    CHECK(tool_says("what it answers is none of nigh's"));
    redis_stop(&server);
}

struct liar {
    struct tool_place place;
    const char *text;
    bool again;       /* without an end */
    const char *only; /* the command that is answered so; NULL: each is */
    const char *later; /* what is answered from the second time on; NULL: the same */
    int fd;
    pthread_t thread;
};

/* Answers one client after the other, until its socket is shut down. */
static void *lie(void *arg)
{
    struct liar *l = arg;
    for (int fd; (fd = accept(l->fd, NULL, NULL)) >= 0; close(fd)) {
        char line[100] = "";
        while (recv(fd, line, sizeof(line) - 1, 0) > 0)
            ;
        bool knows = !l->only || strncmp(line, l->only, strlen(l->only)) == 0;
        const char *text = knows ? l->text : "error: it ends\n\n";
        if (knows && l->later)
            l->text = l->later;
        while (dial_send(fd, text, strlen(text)) && l->again)
            ;
    }
    return NULL;
}

/* Starts one that knows what it says. */
static void start_prepared(struct liar *l)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    tool_make_folder(&l->place);
    snprintf(l->place.path, sizeof(l->place.path), "%s/s", l->place.folder);
    strcpy(at.sun_path, l->place.path);
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(l->fd, (struct sockaddr *)(void *)&at, sizeof(at)) == 0 && listen(l->fd, 5) == 0);
    REQUIRE_EQ(pthread_create(&l->thread, NULL, lie, l), 0);
}

static void start_liar(struct liar *l, const char *text, bool again, const char *only)
{
    *l = (struct liar){.text = text, .again = again, .only = only};
    start_prepared(l);
}

static void stop_liar(struct liar *l)
{
    shutdown(l->fd, SHUT_RDWR);
    pthread_join(l->thread, NULL);
    close(l->fd);
    unlink(l->place.path);
    rmdir(l->place.folder);
}

TEST(an_answer_without_an_end_fills_no_memory)
{
    struct liar l;
    static char text[65536];
    memset(text, 'x', sizeof(text) - 1);
    start_liar(&l, text, true, NULL);
    CHECK_EQ(tool_run("stats -S %s --timeout 86400000", l.place.path), 3);
    CHECK(tool_says("what it answers is none of nigh's"));
    stop_liar(&l);
}

TEST(what_a_process_refuses_of_many_words_is_told)
{
    struct liar l = {.text = "ok\n\n", .later = "error: it ends\n\n"};
    start_prepared(&l);
    CHECK_EQ(tool_run("invalidate -S %s --tag $(seq 2500)", l.place.path), 1);
    CHECK(tool_says("nigh: it ends\n"));
    CHECK(tool_says("of 2500 words the first 1000 were told, the others were not"));
    stop_liar(&l);
}

TEST(what_a_process_answers_moves_no_terminal)
{
    struct liar l;
    start_liar(&l, "ok: \033]0;title\a\033[2J\xc2\x9b \xc3\xa9\n\n", false, NULL);
    CHECK_EQ(tool_run("health -S %s", l.place.path), 0);
    CHECK_STR(tool_out, "ok: ?]0;title??[2J?? \xc3\xa9\n");
    stop_liar(&l);
}

/* Runs a command on a terminal, to its end. What it shows has ends of lines as a terminal has. */
static void check_shows(unsigned short columns, const char *command, const char *path,
                        const char *wanted)
{
    static struct terminal t;
    int status = -1;
    start_on_terminal(&t, (struct winsize){.ws_row = 24, .ws_col = columns}, command, path);
    if (!CHECK_WITHIN(WORLD_PATIENCE_MS, shows(&t, wanted)))
        check_note("it shows: %s", t.out);
    REQUIRE_EQ(waitpid(t.pid, &status, 0), t.pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(t.fd);
}

TEST(a_terminal_has_no_line_that_is_longer_and_a_pipe_has_each_whole)
{
    static const char text[] =
        "ok\nmisses: 6921 of 22711 reads (30.5 %) in the last minute; most are for keys that do "
        "not exist (61 %)\nhere: this process\n\n";
    struct liar l;
    start_liar(&l, text, false, NULL);
    check_shows(80, "health", l.place.path,
                "ok\r\n"
                "misses: 6921 of 22711 reads (30.5 %) in the last minute; most are for keys "
                "that\r\n"
                "        do not exist (61 %)\r\n"
                "here: this process\r\n");
    check_shows(40, "health", l.place.path,
                "ok\r\n"
                "misses: 6921 of 22711 reads (30.5 %) in\r\n"
                "        the last minute; most are for\r\n"
                "        keys that do not exist (61 %)\r\n"
                "here: this process\r\n");
    CHECK_EQ(tool_run("health -S %s", l.place.path), 0);
    CHECK_EQ(strlen(tool_out), strlen(text) - 1);
    CHECK(strncmp(tool_out, text, strlen(tool_out)) == 0);
    stop_liar(&l);
}

/* The library breaks no line of an explanation: a fact is one, whose text begins behind a label. */
TEST(an_explanation_hangs_below_its_labels)
{
    struct liar l;
    start_liar(&l,
               "why        L1 evicted it 12 s ago, 02:31:07 UTC, to make room\n"
               "here       x\n\n",
               false, NULL);
    check_shows(40, "stats", l.place.path,
                "why        L1 evicted it 12 s ago,\r\n"
                "           02:31:07 UTC, to make room\r\n"
                "here       x\r\n");
    stop_liar(&l);
}

TEST(what_programs_read_is_never_broken)
{
    struct liar l;
    start_liar(&l, "{\"a\": \"some words that are long\", \"b\": [1, 2, 3]}\n\n", false, NULL);
    check_shows(20, "stats", l.place.path,
                "{\"a\": \"some words that are long\", \"b\": [1, 2, 3]}\r\n");
    stop_liar(&l);
}

/* Who shares a pipe may have made it so that a full one is an error, EAGAIN. */
TEST(a_full_pipe_that_does_not_block_loses_nothing)
{
    static char all[65536];
    char *argv[] = {NIGH_TOOL, "--man", NULL};
    int fds[2], status = -1;
    size_t len = 0;
    REQUIRE_EQ(pipe2(fds, O_CLOEXEC), 0);
    REQUIRE(fcntl(fds[1], F_SETPIPE_SZ, 4096) == 4096);
    REQUIRE_EQ(fcntl(fds[1], F_SETFL, O_WRONLY | O_NONBLOCK), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    int unread = 0;
    CHECK_WITHIN(WORLD_PATIENCE_MS, ioctl(fds[0], FIONREAD, &unread) == 0 && unread == 4096);
    close(fds[1]);
    for (ssize_t n; (n = read(fds[0], all + len, sizeof(all) - 1 - len)) > 0;)
        len += (size_t)n;
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(tool_run("--man"), 0);
    CHECK_STR(all, tool_out);
    close(fds[0]);
}

/* A process may end between two questions. */
TEST(top_shows_what_there_is_without_hot_keys)
{
    static const char stats[] =
        "{\"gauges\": {\"uptime_ms\": 125000, \"entries\": 7, \"memory_bytes\": 1048576000, "
        "\"memory_cap_bytes\": 1072693248, \"tables_bytes\": 104857600, "
        "\"limbo_bytes\": 62914560, \"unstored_bytes\": 41943040}, "
        "\"spaces\": {\"users\": "
        "{\"load\": 1, \"l1_reads_1m\": 40, \"l1_hits_1m_ppm\": 275000, "
        "\"window_1m_ms\": 18400, \"evicted_age_ms\": 3800}}}\n\n";
    struct liar l;
    start_liar(&l, stats, false, "stats json");
    CHECK_EQ(tool_run("top -S %s --once", l.place.path), 0);
    CHECK(tool_says("entries  7, ") && tool_says("users"));
    CHECK(tool_says("1000.0 of 1023.0 MiB (98 %): values 800.0, tables 100.0, other 100.0\n"));
    for (const char *at = tool_out; *at; at += strcspn(at, "\n") + 1)
        CHECK_LE(strcspn(at, "\n"), 80);
    CHECK(tool_says("nigh top   1 of 1 processes, up for 2.1m   "));
    CHECK(tool_says(
        "\n"
        "space        reads/s   L1%  18 s stale%   L2% loads/s evict/s   age p99 L2  load\n"
        "users              0   0.0  27.5    0.0   0.0       0       0  3.8s      -     -\n"
        "L1%: of this second, of 18 s; age: a tenth of the evicted was younger; -: none\n"));
    stop_liar(&l);
}

/* A second has few changes, and none that was heard of another node where this one made them. */
TEST(top_said_a_dash_for_what_was_not_measured)
{
    static const char stats[] = "{\"gauges\": {\"connected\": 1}, \"cache\": {}, "
                                "\"spaces\": {}}\n\n";
    static const char later[] =
        "{\"gauges\": {\"connected\": 1}, \"cache\": {\"latency_change\": {\"count\": 2, "
        "\"buckets\": [[2000000, 2]]}}, \"spaces\": {}}\n\n";
    struct liar l = {.text = stats, .only = "stats json", .later = later};
    start_prepared(&l);
    CHECK_EQ(tool_run("top -S %s --once", l.place.path), 0);
    CHECK(tool_says("\nlag      p99: own accepted 2.0ms\n"));
    stop_liar(&l);
}

TEST(top_says_what_was_missed_and_why)
{
    static const char stats[] = "{\"gauges\": {\"connected\": 1, \"following\": 1, "
                                "\"trusted\": 1, \"listening\": 1}, \"cache\": {}, "
                                "\"spaces\": {\"users\": {}}}\n\n";
    static const char later[] =
        "{\"gauges\": {\"connected\": 1, \"following\": 1, \"trusted\": 1}, \"cache\": {}, "
        "\"spaces\": {\"users\": {\"l1_miss\": 1000, \"miss_absent\": 400, "
        "\"miss_of_new\": 500, \"miss_of_absent\": 300, \"miss_of_expired\": 2, "
        "\"miss_of_changed\": 198}}}\n\n";
    struct liar l = {.text = stats, .only = "stats json", .later = later};
    start_prepared(&l);
    CHECK_EQ(tool_run("top -S %s --once", l.place.path), 0);
    CHECK(tool_says("\nredis    connected yes, breaker closed; requests 0/s, 0 under way\n"
                    "trust    trusted yes, listening NO; messages 0/s, resyncs 0/s, queued 0\n"
                    "lag      no change in this second\n"
                    "misses   "));
    CHECK(tool_says(" of them (40 %) for keys that do not exist\n"
                    "because  new or forgotten 50 %, \"does not exist\" expired 30 %, "
                    "changed 20 %\n"));
    stop_liar(&l);
}
