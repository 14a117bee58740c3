// SPDX-License-Identifier: MIT
/*
 * How many cache lines two threads take from one another, per operation: counted, not timed.
 *
 * On a machine with many cores the cost of an operation is the lines that it touches and another
 * core has written since. Two cores do not show it, a trace does: valgrind's tool lackey prints the
 * address of every load and store. It does not say by which thread, so work.c takes turns and marks
 * them, and here each line is given the times of its last use by either thread. An operation takes
 * a line from the other thread if that one has written to it since this one last used it.
 *
 *     perf_lines [OPTION...]   operations of two threads side by side, as there are limits for
 *     perf_lines --work        what is traced
 *
 * Prints a line for each pair, and where the lines lie that are taken often. Ends with 1 where a
 * limit is exceeded, with 2 where there is no valgrind.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "lines/work.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/options.h"

#define LINE_SHIFT 6
#define ROUNDS 40u
#define ROUNDS_WARM 16u /* of them: not counted. Blocks, numbers and pins are taken once */
#define SLOTS (1u << 18)
#define OFTEN_SHOWN 12u
#define OBJECTS_MAX 16

struct line {
    uint64_t at; /* 0: free slot */
    uint32_t used[2], written[2]; /* by each thread: in this operation; 0: never */
    uint32_t taken[2];            /* in this phase */
};

struct object {
    char name[16];
    uint64_t at;
    size_t bytes;
};

struct trace {
    struct line *lines;
    struct object objects[OBJECTS_MAX];
    unsigned object_count;
    int thread;         /* whose operation this is; -1: nobody's */
    uint32_t clock;     /* operations so far */
    unsigned phases;    /* begun so far */
    uint32_t rounds[2]; /* of this one */
    uint64_t taken[2];
    bool failed;
};

/* Limits the lines that an operation of each thread may take: a hit, none of anybody; a put, those
 * told at l1_floors (l1/floors.h) and struct l1; a miss, those told at flight_table. */
static const struct limit {
    struct work_phase phase;
    double most[2];
} limits[] = {
    {{{WORK_HIT, WORK_HIT}}, {0, 0}},
    {{{WORK_HIT, WORK_PUT}}, {0, 0}},
    {{{WORK_HIT, WORK_MISS}}, {0, 0}},
    {{{WORK_PUT, WORK_PUT}}, {4, 4}},
    {{{WORK_MISS, WORK_MISS}}, {2, 2}},
};

#define LIMITS (sizeof(limits) / sizeof(*limits))

static struct line *line_of(struct trace *t, uint64_t address)
{
    uint64_t at = address >> LINE_SHIFT;
    for (uint64_t slot = at * UINT64_C(0x9e3779b97f4a7c15) >> 46;; slot = (slot + 1) % SLOTS) {
        struct line *line = &t->lines[slot % SLOTS];
        if (line->at == 0)
            line->at = at;
        if (line->at == at)
            return line;
    }
}

static void use(struct trace *t, struct line *line, bool writes)
{
    int me = t->thread, other = 1 - me;
    if (t->rounds[me] > ROUNDS_WARM && line->written[other] > line->used[me]) {
        line->taken[me]++;
        t->taken[me]++;
    }
    line->used[me] = t->clock;
    if (writes)
        line->written[me] = t->clock;
}

static void show_line(const struct trace *t, const struct line *line)
{
    uint64_t at = line->at << LINE_SHIFT;
    printf("    %3u %3u times %llx", line->taken[0], line->taken[1], (unsigned long long)at);
    for (unsigned i = 0; i < t->object_count; i++)
        if (at + (UINT64_C(1) << LINE_SHIFT) > t->objects[i].at &&
            at < t->objects[i].at + t->objects[i].bytes)
            printf(" %s + %lld", t->objects[i].name, (long long)(at - t->objects[i].at));
    printf("\n");
}

static void show_often(const struct trace *t)
{
    unsigned shown = 0;
    for (unsigned i = 0; i < SLOTS && shown < OFTEN_SHOWN; i++)
        if (t->lines[i].taken[0] + t->lines[i].taken[1] > (ROUNDS - ROUNDS_WARM) / 8) {
            show_line(t, &t->lines[i]);
            shown++;
        }
}

static void add_results(const struct limit *l, const double *taken)
{
    char name[32];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s beside %s", work_names[l->phase.ops[i]],
                 work_names[l->phase.ops[1 - i]]);
        result_add("lines", name, i ? "taken by the second" : "taken by the first", "lines/op",
                   taken[i], l->most[i] > 0 ? "cap" : NULL, l->most[i]);
    }
}

/* The end of a phase: says what was taken in it, and forgets that. */
static void end_phase(struct trace *t)
{
    const struct limit *l = &limits[(t->phases - 1) % LIMITS];
    double taken[2];
    for (int i = 0; i < 2; i++)
        taken[i] = (double)t->taken[i] / (ROUNDS - ROUNDS_WARM);
    printf("  %-4s beside %-4s %5.2f %5.2f\n", work_names[l->phase.ops[0]],
           work_names[l->phase.ops[1]], taken[0], taken[1]);
    fflush(stdout);
    add_results(l, taken);
    show_often(t);
    if (taken[0] > l->most[0] || taken[1] > l->most[1]) {
        printf("  FAILED: at most %.2f %.2f\n", l->most[0], l->most[1]);
        t->failed = true;
    }
    for (unsigned i = 0; i < SLOTS; i++)
        memset(t->lines[i].taken, 0, sizeof(t->lines[i].taken));
    memset(t->taken, 0, sizeof(t->taken));
    memset(t->rounds, 0, sizeof(t->rounds));
}

/* Whether it is a mark; then a phase begins, or an operation begins or ends. */
static bool take_mark(struct trace *t, uint64_t address)
{
    uint64_t index = (address - WORK_MARKS_AT) / WORK_MARK_BYTES;
    if (address < WORK_MARKS_AT || index >= WORK_MARKS)
        return false;
    t->thread = -1;
    if (index == WORK_PHASE && t->phases > 0)
        end_phase(t);
    t->phases += index == WORK_PHASE;
    if (index == WORK_BEGIN_0 || index == WORK_BEGIN_1) {
        t->thread = index == WORK_BEGIN_1;
        t->rounds[t->thread]++;
        t->clock++;
    }
    return true;
}

/* " S 1ffe,8": stored; L loaded, M both. Anything else: the work's own, where something lies. */
static void take_text(struct trace *t, const char *text)
{
    char kind, name[16];
    unsigned long long at;
    unsigned long bytes;
    if (sscanf(text, " %c %llx,%lu", &kind, &at, &bytes) == 3 && strchr("SLM", kind)) {
        if ((kind == 'S' && take_mark(t, at)) || t->thread < 0)
            return;
        for (uint64_t a = at; a >> LINE_SHIFT <= (at + bytes - 1) >> LINE_SHIFT;
             a += UINT64_C(1) << LINE_SHIFT)
            use(t, line_of(t, a), kind != 'L');
    } else if (sscanf(text, "%15s %llx %lu", name, &at, &bytes) == 3 && name[0] != '=' &&
               t->object_count < OBJECTS_MAX) {
        struct object *o = &t->objects[t->object_count++];
        *o = (struct object){.at = at, .bytes = bytes};
        memcpy(o->name, name, sizeof(name));
    }
}

/* ---- the traced process ---- */

/* The trace goes to a file: through a pipe the two processes would take turns for each line. */
static FILE *trace_work(const char *self)
{
    FILE *file = tmpfile();
    char log[32];
    int status;
    if (!file)
        fail("tmpfile: %m");
    snprintf(log, sizeof(log), "--log-fd=%d", fileno(file));
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fileno(file), STDOUT_FILENO);
        execlp("valgrind", "valgrind", "--tool=lackey", "--trace-mem=yes", "--basic-counts=no",
               log, self, "--work", (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        fail("valgrind: %m");
    if (status != 0)
        fail("lines: the traced process has failed: status %x", status);
    rewind(file);
    return file;
}

static void read_trace(struct trace *t, FILE *in)
{
    char text[256];
    progress("lines: reading the trace");
    while (fgets(text, sizeof(text), in))
        if (text[0] != 'I')
            take_text(t, text);
    progress_end();
    fclose(in);
    if (t->phases != LIMITS || t->rounds[0] != ROUNDS || t->rounds[1] != ROUNDS)
        fail("lines: no whole trace: %u phases, %u and %u rounds", t->phases, t->rounds[0],
             t->rounds[1]);
    end_phase(t);
}

static int work(void)
{
    struct work_phase phases[LIMITS];
    for (unsigned i = 0; i < LIMITS; i++)
        phases[i] = limits[i].phase;
    return work_run(phases, LIMITS, ROUNDS);
}

static const struct command_line command = {
    .usage = "perf/run lines [OPTION...]",
    .about = "Which cache lines do two threads take from one another? Counted by valgrind, which\n"
             "has to be there, in a minute or two; there is no chance in it, so no --seed.\n",
    .status = "Exit status: 0 no limit is exceeded, 1 one is, 2 it could not be counted.\n",
    .options = (const struct option_row[]){{NULL, NULL, NULL, NULL}},
    .measures = true,
};

int main(int argc, char **argv)
{
    struct output output;
    if (argc == 2 && strcmp(argv[1], "--work") == 0)
        return work();
    int rest = options_read(&command, "lines", NULL, &output, argc, argv);
    if (rest < argc)
        fail("'%s' is no option; see perf/run lines --help", argv[rest]);
    if (system("valgrind --version >/dev/null 2>&1") != 0)
        fail("there is no valgrind here: apt-get install valgrind");
    ending_catch();
    struct trace t = {.lines = calloc(SLOTS, sizeof(*t.lines)), .thread = -1};
    if (!t.lines)
        fail("out of memory");
    printf("  lines that each takes from the other, per operation\n");
    read_trace(&t, trace_work(argv[0]));
    free(t.lines);
    results_output(&output);
    return t.failed;
}
