// SPDX-License-Identifier: MIT
/*
 * The answer, and what stands behind it: first what was read, then the tables, at the end the line
 * to paste with its reasons, because the end is what a terminal shows.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "support/fail.h"
#include "support/table.h"
#include "tune/tune.h"

#define FEW_REQUESTS  10000u
#define MANY_REQUESTS 100000u
#define ERROR_MOST    0.025 /* a standard error */

static double percent(double share)
{
    return 100 * share;
}

const char *tune_size(double bytes)
{
    if (bytes < 0x1p20)
        return table_print("%.0f KiB", bytes / 0x1p10);
    return bytes < 0x1p30 ? table_print("%.0f MiB", bytes / 0x1p20)
                          : table_print("%.4g GiB", bytes / 0x1p30);
}

static const struct tune_size *knee_of(const struct tune *t)
{
    return &t->sizes[t->knee];
}

/* ---- what was read ---- */

static void print_span(const struct tune *t, FILE *out)
{
    double span_s = (double)input_span_s(&t->in);
    if (span_s >= 2 * 3600)
        fprintf(out, " over %.1f hours", span_s / 3600.0);
    else if (span_s >= 60)
        fprintf(out, " over %.1f minutes", span_s / 60.0);
    else if (span_s > 0)
        fprintf(out, " over %.0f s", span_s);
}

static double mean_bytes(const struct tune *t)
{
    double sum = 0;
    for (size_t i = 0; i < t->in.trace.count; i++)
        sum += t->in.trace.requests[i].size;
    return sum / (double)t->in.trace.count;
}

static void print_log(const struct input *in, FILE *out)
{
    if (in->lines == 0)
        return;
    fprintf(out, "  %s; %s %s: no GET, or no status 200 or 304\n", table_some(in->lines, "line"),
            table_count(in->others), in->others == 1 ? "is another request" : "are other requests");
    if (in->sited)
        fprintf(out, "  %s of the requests %s (%s),\n  which is part of the key\n",
                table_count(in->sited), in->sited == 1 ? "names its site" : "name their site",
                in->site);
    if (in->garbage)
        fprintf(out, "  %s of %s %s; first: line %s\n    \"%s\"\n", table_count(in->garbage),
                table_some(in->lines, "line"),
                in->garbage == 1 ? "is no request" : "are no requests",
                table_count(in->first_garbage), in->shown);
    if (in->unsized)
        fprintf(out, "  %s for keys whose size no line tells: the mean was taken\n",
                table_some(in->unsized, "request"));
}

/* Says of which part of the keys a recording is, and how far its reads are from that part. */
static void print_rate(const struct input *in, FILE *out)
{
    double off = (double)in->trace.count / input_expected(in) - 1;
    if (in->rate >= 1)
        return;
    fprintf(out, "  it is a sample itself: one key in %.0f", 1 / in->rate);
    if (in->reads)
        fprintf(out,
                ", of %s;\n"
                "  by the chance of which popular keys are in it, it has %.0f %% %s than its part\n"
                "  of them: the difference is %s the hits",
                table_some(in->reads, "read"), percent(fabs(off)), off < 0 ? "fewer" : "more",
                off < 0 ? "added to" : "taken from");
    fputc('\n', out);
}

static void print_input(const struct tune *t, FILE *out)
{
    const struct input *in = &t->in;
    const char *path = t->settings->path;
    fprintf(out, "%s: %s", strcmp(path, "-") == 0 ? "stdin" : path, in->format);
    print_span(t, out);
    fprintf(out, "\n  %s of %s; values of %s B in the mean, keys of %u B\n",
            table_some(in->trace.count, "request"), table_some(in->trace.unique, "key"),
            table_count((uint64_t)(mean_bytes(t) + 0.5)), t->source.key_bytes);
    print_log(in, out);
    if (in->turned)
        fprintf(out, "  its times went back (files in another order?): it was put in order\n");
    if (!in->has_sizes)
        fprintf(out, "  it says nothing about sizes: %u B for each value (--value-size)\n",
                t->settings->value_bytes);
    if (in->trace.change_count)
        fprintf(out, "  %s and %s between them are replayed, too\n",
                table_some(in->trace.change_count - in->invalidations, "put"),
                table_some(in->invalidations, "invalidation"));
    if (in->cut)
        fprintf(out, "  its last record is cut off: it is being written, or who wrote it was "
                     "killed\n");
    if (in->dropped)
        fprintf(out, "  it lacks %s that came too fast to record\n",
                table_some(in->dropped, "request"));
    print_rate(in, out);
    if (t->too_large)
        fprintf(out,
                "  %s for values above %s, which space.value_max does not let in,\n"
                "  count as loads (--value-max SIZE replays with a larger one)\n",
                table_some(t->too_large, "request"), tune_size(t->settings->value_max));
    fprintf(out, "  all of it takes %s in L1\n", tune_size(t->curve.footprint));
}

/* ---- tables ---- */

/* Within 80 columns for two policies. Stack distances know no lifetimes: the title says so. */
static void print_heading(const struct tune *t, FILE *out)
{
    fprintf(out,
            "\nShare of requests answered from memory, %%: replayed through nigh, "
            "one shard,\n%s; exact LRU: computed. The right two: of %s.\n",
            t->settings->ttl_s
                ? table_print("values live %llu s", (unsigned long long)t->settings->ttl_s)
            : tune_has_lives(t) ? "values live as recorded"
                                : "values live for ever",
            t->settings->policies[t->policy]);
}

static void print_names(const struct tune *t, FILE *out)
{
    fprintf(out, "%9s", "l1.memory");
    for (unsigned p = 0; p < t->policy_count; p++)
        fprintf(out, "%8s", t->settings->policies[p]);
}

/* Prints what is left of the loads at a row, of `unit` in all, and what twice its memory would
 * save of that. */
static void print_saved(const struct tune *t, const struct knee_point *points, unsigned row,
                        double unit, FILE *out)
{
    double left = points[row].misses;
    double twice = knee_misses_at(points, t->size_count, 2 * points[row].bytes);
    if (t->cut && 2 * points[row].bytes > points[t->size_count - 1].bytes)
        fprintf(out, "%17.1f%19s", unit * left, "not replayed");
    else
        fprintf(out, "%17.1f%11.1f (%3.0f %%)", unit * left, unit * (left - twice),
                left > 0 ? percent(1 - twice / left) : 0);
    fprintf(out, "%s\n", row != t->knee ? "" : tune_is_cut(t) ? " <- most" : " <- knee");
}

static void print_sizes(const struct tune *t, FILE *out)
{
    struct knee_point points[TUNE_SIZES_MAX];
    tune_points(t, false, points);
    print_heading(t, out);
    print_names(t, out);
    fprintf(out, "%11s%17s%19s\n", "exact LRU", "loads of 1,000", "a doubling saves");
    for (unsigned i = 0; i < t->size_count; i++) {
        const struct tune_size *s = &t->sizes[i];
        fprintf(out, "%9s", tune_size((double)s->bytes));
        for (unsigned p = 0; p < t->policy_count; p++)
            fprintf(out, "%8.2f", percent(s->by[p].hits));
        fprintf(out, "%11.2f", percent(s->lru));
        print_saved(t, points, i, 1000, out);
    }
}

/* The same by the time of loads: a dear one counts for many cheap ones. */
static void print_times(const struct tune *t, FILE *out)
{
    struct knee_point points[TUNE_SIZES_MAX];
    if (!tune_knows_time(t))
        return;
    tune_points(t, true, points);
    fprintf(out, "\nShare of the time of loads saved, %%, by the same replays (the knee goes by "
                 "it)\n");
    print_names(t, out);
    fprintf(out, "%11s%17s%19s\n", "", "s of loading", "a doubling saves");
    for (unsigned i = 0; i < t->size_count; i++) {
        const struct tune_size *s = &t->sizes[i];
        fprintf(out, "%9s", tune_size((double)s->bytes));
        for (unsigned p = 0; p < t->policy_count; p++)
            fprintf(out, "%8.2f", percent(1 - replay_left(&s->by[p])));
        fprintf(out, "%11s", "");
        print_saved(t, points, i, s->by[t->policy].all_s, out);
    }
}

static void print_shards(const struct shards_result *r, FILE *out)
{
    fprintf(out, "\nThe same requests by %s%s, misses are put: %s in turn%s\n",
            table_some(r->threads, "thread"), r->threads > 1 ? " at once" : "",
            table_some(r->rounds, "round"),
            r->count > 1 && r->rounds > 1 ? ",\nhalf of which lie within +-" : "");
    fprintf(out, "%10s%16s%22s\n", "l1.shards", "requests/s", "of the best");
    for (unsigned i = 0; i < r->count; i++) {
        const struct shards_one *one = &r->all[i];
        fprintf(out, "%10u%16s%12.2f%s%s\n", one->shards, table_count((uint64_t)one->ops),
                one->of_best, i == r->best ? "" : table_print(" +- %.2f", one->noise),
                r->differs && i == r->chosen ? "  <- the fewest that are as good" : "");
    }
}

/* ---- reasons ---- */

static void explain_memory(const struct tune *t, FILE *out)
{
    const struct tune_size *k = knee_of(t);
    double misses = 1 - k->by[t->policy].hits;
    fprintf(out, "  l1.memory  %s answers %.1f %% of requests, leaves %.0f loads of 1,000",
            tune_size((double)k->bytes), percent(1 - misses), 1000 * misses);
    if (tune_is_cut(t))
        fprintf(out, ";\n             the most that was allowed: the curve still rises here\n");
    else
        fprintf(out,
                ";\n             %s no doubling%s saves %.3g of 1,000%s\n"
                "             (--worth) or a fifth of what is left\n",
                t->knee == 0 ? "it is the least that nigh takes:\n            " : "from here on",
                t->cut ? " that is allowed" : "", 1000 * t->settings->worth,
                tune_knows_time(t) ? " seconds of loading" : "");
}

/* Says which size may be the answer to the same log by another hash. */
static void explain_near(const struct tune *t, FILE *out)
{
    struct knee_point points[TUNE_SIZES_MAX];
    tune_points(t, tune_knows_time(t), points);
    size_t near = knee_near(points, t->size_count, t->settings->worth);
    if (near != t->knee)
        fprintf(out,
                "             a near thing: %s is as good, and may be the answer by another "
                "--seed\n",
                tune_size(points[near].bytes));
}

/* Seconds of loading that so many bytes leave, by the replays; they are points as misses are. */
static double load_s_at(const struct tune *t, double bytes)
{
    struct knee_point points[TUNE_SIZES_MAX];
    for (unsigned i = 0; i < t->size_count; i++)
        points[i] = (struct knee_point){(double)t->sizes[i].bytes,
                                        t->sizes[i].by[t->policy].load_s};
    knee_smooth(points, t->size_count);
    return knee_misses_at(points, t->size_count, bytes);
}

/* Says what the loads that are left take, where the recording knows. */
static void explain_loads(const struct tune *t, FILE *out)
{
    const struct tune_size *k = knee_of(t);
    const struct replay_result *r = &k->by[t->policy];
    if (r->all_s <= 0)
        return;
    double now = (double)k->bytes, now_s = load_s_at(t, now);
    fprintf(out,
            "             its loads take %s%.3g s of the origin (%.3g s without L1);\n"
            "             with twice as much it were %.3g s less, with a GiB more %.3g s%s\n",
            r->load_error > 0 ? "some " : "", r->load_s, r->all_s,
            fmax(now_s - load_s_at(t, 2 * now), 0), fmax(now_s - load_s_at(t, now + 0x1p30), 0),
            t->cut ? " at least" : "");
}

/* Says what so many bytes would save: by the replays or, beyond them, by exact LRU's curve. */
static void explain_more(const struct tune *t, double bytes, const char *what, FILE *out)
{
    struct knee_point points[TUNE_SIZES_MAX];
    double now = (double)knee_of(t)->bytes, saved;
    const char *by = "";
    tune_points(t, false, points);
    if (bytes > points[t->size_count - 1].bytes && t->cut) {
        saved = curve_at(&t->curve, curve_room(bytes)) - curve_at(&t->curve, curve_room(now));
        by = tune_has_lives(t) ? ",\n             by exact LRU's curve, which has no lifetimes"
                             : ", by exact LRU's curve";
    } else {
        saved = points[t->knee].misses - knee_misses_at(points, t->size_count, bytes);
    }
    fprintf(out, "             %s (%s): %.1f loads less of 1,000 requests%s\n", what,
            tune_size(bytes), 1000 * fmax(saved, 0), by);
}

static void explain_policy(const struct tune *t, FILE *out)
{
    const struct tune_size *k = knee_of(t);
    fprintf(out, "  l1.policy  ");
    if (t->policy_count == 1) {
        fprintf(out, "as asked for\n");
        return;
    }
    for (unsigned p = 0, said = 0; p < t->policy_count; p++) {
        if (p == t->policy)
            continue;
        double points = percent(k->by[t->policy].hits - k->by[p].hits);
        fprintf(out, "%s%s answers %.1f points %s than %s here", said++ ? ", " : "",
                t->settings->policies[t->policy], fabs(points), points >= 0 ? "more" : "less",
                t->settings->policies[p]);
    }
    fprintf(out, "\n");
}

/* Says why the line has no shards: nothing was measured that would be a reason for any. */
static void explain_no_shards(const struct shards_result *r, FILE *out)
{
    fprintf(out,
            "  l1.shards  left out, and nigh's default stays, which follows CPUs and memory:\n");
    if (r->rounds == 1)
        fprintf(out, "             one round cannot tell; try --rounds 9\n");
    else if (r->noise > SHARDS_TOLERANCE_MOST)
        fprintf(out, "             this machine is too busy to tell: the middle one of the +- is "
                     "%.2f,\n             and may be %.2f at most; try --round-time 500ms, or when "
                     "it is idle\n",
                r->noise, SHARDS_TOLERANCE_MOST);
    else
        fprintf(out, "             none from %u to %u differs from the best by more than rounds "
                     "do\n",
                r->all[0].shards, r->all[r->count - 1].shards);
}

static void explain_shards(const struct tune *t, FILE *out)
{
    const struct shards_result *r = &t->shards[t->shards_count - 1];
    const struct shards_one *one = &r->all[r->chosen];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (r->count == 1)
        fprintf(out, "  l1.shards  as asked for\n");
    else if (!r->differs)
        explain_no_shards(r, out);
    else
        fprintf(out,
                "  l1.shards  with %s %s %s %.2f of what the best does;\n"
                "             rounds differ by +- %.2f\n",
                table_some(r->threads, "thread"), table_some(one->shards, "shard"),
                one->shards > 1 ? "reach" : "reaches", one->of_best, r->noise);
    if ((long)r->threads > cpus)
        fprintf(out,
                "             this machine has %s for %s: measure again where it runs\n",
                table_some((uint64_t)cpus, "CPU"), table_some(r->threads, "thread"));
}

/* ---- how sure ---- */

/* Difference of the last two quarters: before them the cache may still have been filling. */
static double drift(const struct tune *t)
{
    const double *q = knee_of(t)->by[t->policy].quarters;
    return q[REPLAY_QUARTERS - 1] - q[REPLAY_QUARTERS - 2];
}

/* Part of what was asked for that is not in it: lines that could not be read, and what a recording
 * had to drop. */
static double missing(const struct input *in)
{
    double lost = (double)in->garbage + (double)in->dropped;
    return lost / (lost + (double)in->trace.count);
}

/* A recording of some keys has, or lacks, the most popular ones by chance. */
static const char *verdict(const struct tune *t)
{
    double cold = 1 - curve_top(&t->curve);
    size_t requests = knee_of(t)->by[t->policy].requests;
    if (cold > 0.5 || requests < FEW_REQUESTS || fabs(drift(t)) > 0.05 || missing(&t->in) > 0.2 ||
        knee_of(t)->by[t->policy].error > ERROR_MOST ||
        knee_of(t)->by[t->policy].load_error > ERROR_MOST)
        return "a guess";
    if (cold < 0.2 && requests >= MANY_REQUESTS && fabs(drift(t)) < 0.01 &&
        missing(&t->in) < 0.01 && t->in.rate >= 1 && t->in.has_sizes)
        return "sure";
    return "fairly sure";
}

static void print_lifetimes(const struct tune *t, FILE *out)
{
    bool timed = input_span_s(&t->in) > 0;
    bool changes = t->in.has_lives || t->in.trace.change_count;
    if (tune_has_lives(t))
        fprintf(out,
                "  lifetimes are in it%s. For ever, and with memory for all,\n"
                "  hits would be %.1f %%: the rest is what lifetimes cost, and no memory helps\n",
                changes ? "" : ", invalidations are not", percent(curve_top(&t->curve)));
    else
        fprintf(out, "  lifetimes%s are not in it: real hits are fewer%s\n",
                changes ? "" : " and invalidations",
                timed ? ";\n  --ttl 60s replays with values that live so long" : "");
}

/* Prints by what the verdict is. */
static void print_doubts(const struct tune *t, FILE *out)
{
    const struct replay_result *r = &knee_of(t)->by[t->policy];
    double cold = 1 - curve_top(&t->curve);
    fprintf(out,
            "  %.1f %% of the requests are the first of their key%s%s:\n"
            "  no memory saves those loads%s\n",
            percent(cold), t->in.invalidations ? ", or after an invalidation" : "",
            t->too_large ? ", or for a value too large" : "",
            cold > 0.2 ? ";\n  a longer record has fewer, and may want more memory" : "");
    fprintf(out, "  by quarters of the record: %.1f, %.1f, %.1f, %.1f %%%s\n",
            percent(r->quarters[0]), percent(r->quarters[1]), percent(r->quarters[2]),
            percent(r->quarters[3]),
            drift(t) > 0.01 ? ": still rising at its end" : " (the first one warms up)");
    if (r->rate < 1)
        fprintf(out,
                "  replayed was one key in %.1f, in as small a part of the memory "
                "(--requests)\n",
                1 / r->rate);
    if (r->error > 0)
        fprintf(out,
                "  which keys are in the sample is chance: hits may be off by %.1f points (two "
                "standard errors),\n  all rows by about the same\n",
                percent(2 * r->error));
    if (r->load_error > 0)
        fprintf(out, "  ... and the share of the time of loads that is saved by %.1f points\n",
                percent(2 * r->load_error));
    if (t->in.rate < 1 && !t->in.reads)
        fprintf(out, "  a recording of some keys has too few or too many of the most popular ones: "
                     "hits may be\n  off by many points, loads (all in all, not of 1,000) by less; "
                     "newer recordings\n  tell all reads, by which that is made good\n");
    print_lifetimes(t, out);
}

/* ---- all of it ---- */

static void print_reasons(const struct tune *t, FILE *out)
{
    double now = (double)knee_of(t)->bytes;
    explain_memory(t, out);
    explain_near(t, out);
    explain_more(t, 2 * now, "twice as much", out);
    if (now != 0x1p30)
        explain_more(t, now + 0x1p30, "a GiB more", out);
    explain_loads(t, out);
    explain_policy(t, out);
    explain_shards(t, out);
    fprintf(out, "  a last replay, with all that the line says, answers %.1f %%\n",
            percent(t->check.hits));
}

void tune_report(const struct tune *t, FILE *out)
{
    char line[128];
    print_input(t, out);
    print_sizes(t, out);
    print_times(t, out);
    fputc('\n', out);
    tune_plot(t, out);
    for (unsigned i = 0; i < t->shards_count; i++)
        print_shards(&t->shards[i], out);
    tune_line(t, line, sizeof(line));
    fprintf(out, "\nThe answer, for the environment of the server:\n\n  NIGH_CONF=%s\n\n", line);
    print_reasons(t, out);
    fprintf(out, "\nHow sure (of memory and policy, if traffic stays as it was): %s\n", verdict(t));
    print_doubts(t, out);
    table_end();
}

/* Adds what prints, without the blanks that are the terminal's. */
static void add_printed(const struct tune *t, const char *metric,
                        void (*print)(const struct tune *t, FILE *out))
{
    char *text = NULL, *to;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        fail("out of memory");
    print(t, out);
    fclose(out);
    to = text;
    for (const char *at = text; *at; at++)
        if (*at != ' ' || (at[1] != ' ' && to > text && to[-1] != '\n'))
            *to++ = *at;
    *to = '\0';
    result_add_text("tune", "answer", metric, text);
    free(text);
}

/* The answer and how sure it is, in the words of the report. */
static void add_texts(const struct tune *t)
{
    char line[128];
    tune_line(t, line, sizeof(line));
    result_add_text("tune", "answer", "NIGH_CONF", line);
    add_printed(t, "why", print_reasons);
    result_add_text("tune", "answer", "how sure", verdict(t));
    add_printed(t, "why so sure", print_doubts);
}

void tune_results(const struct tune *t)
{
    char name[56];
    for (unsigned i = 0; i < t->size_count; i++)
        for (unsigned p = 0; p < t->policy_count; p++) {
            const struct tune_size *s = &t->sizes[i];
            snprintf(name, sizeof(name), "%llu MiB, %s", (unsigned long long)(s->bytes >> 20),
                     t->settings->policies[p]);
            result_add("tune", name, "hit ratio", "percent", percent(s->by[p].hits), "exact lru",
                       percent(s->lru));
            if (s->by[p].all_s > 0)
                result_add("tune", name, "time of loads saved", "percent",
                           percent(1 - replay_left(&s->by[p])), NULL, 0);
        }
    for (unsigned i = 0; i < t->shards_count; i++)
        for (unsigned j = 0; j < t->shards[i].count; j++) {
            const struct shards_result *r = &t->shards[i];
            snprintf(name, sizeof(name), "%s, %s", table_some(r->threads, "thread"),
                     table_some(r->all[j].shards, "shard"));
            result_add("tune", name, "requests", "1/s", r->all[j].ops, "the best",
                       r->all[j].of_best > 0 ? r->all[j].ops / r->all[j].of_best : 0);
        }
    const struct shards_result *last = &t->shards[t->shards_count - 1];
    snprintf(name, sizeof(name), "answer, %s", t->settings->policies[t->policy]);
    result_add("tune", name, "l1.memory", "bytes", (double)knee_of(t)->bytes, NULL, 0);
    if (last->differs)
        result_add("tune", name, "l1.shards", "count", last->all[last->chosen].shards, NULL, 0);
    result_add("tune", name, "hit ratio", "percent", percent(t->check.hits), NULL, 0);
    if (knee_of(t)->by[t->policy].all_s > 0)
        result_add("tune", name, "time of loads", "s", knee_of(t)->by[t->policy].load_s,
                   "without L1", knee_of(t)->by[t->policy].all_s);
    result_add("tune", name, "first requests", "percent", percent(1 - curve_top(&t->curve)), NULL,
               0);
    add_texts(t);
    table_end();
}
