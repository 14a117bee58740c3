// SPDX-License-Identifier: MIT
/*
 * `perf/run compare` and `perf/run report`: what is done with results, after they were measured.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "report/compare.h"
#include "report/peers.h"
#include "report/report.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/options.h"
#include "support/parse.h"
#include "support/table.h"

#define PAGE_DEFAULT    "nigh-report.html"
#define PERF_EXIT_WORSE 1

struct settings {
    bool is_report, quick;
    double worse_percent; /* the status tells what is worse by more; NAN: it does not */
    struct output output;
    char **files;
    size_t file_count;
};

enum option { OPT_QUICK, OPT_WORSE, OPT_JSON, OPT_HTML, OPT_PAGE, OPTIONS };

static const struct option_row options[OPTIONS + 1] = {
    [OPT_QUICK] = {"quick", NULL,
                   "the peers in a smoke run of a minute: its figures mean little", "compare"},
    [OPT_WORSE] = {"fail-if-worse", "PERCENT",
                   "status 1 if a figure is worse by more than its rounds differ by, and by\n"
                   "more than so much; 2 if of no figure that can be told", "compare"},
    [OPT_JSON] = {"json", "FILE", "write the figures as JSON, too", "compare"},
    [OPT_HTML] = {"html", "FILE", "the page (" PAGE_DEFAULT ")", "report"},
    [OPT_PAGE] = {"html", "FILE", "and as a page of pictures, too", "compare"},
};

static void take(void *settings, int choice, const char *name, char *text)
{
    struct settings *s = settings;
    switch (choice) {
    case OPT_QUICK: s->quick = true; break;
    case OPT_WORSE: s->worse_percent = parse_number(name, text, 0, 1000); break;
    case OPT_JSON: s->output.json = text; break;
    default: s->output.html = text;
    }
}

static const struct command_line compare_line = {
    .usage = "perf/run compare THEN.json NOW.json [--fail-if-worse PERCENT] [OPTION...]\n"
             "perf/run compare [--quick] [--json FILE] [--html FILE]",
    .about = "With two files that --json wrote: which figures differ by more than their\n"
             "rounds do, and which only one of the files has; of fewer than 5 rounds that\n"
             "cannot be told. Without files: nigh and its peers, measured now, on the same\n"
             "keys: other hash tables and caches,\n"
             "memcached, and Redis without nigh. What is not installed is named.\n",
    .status = "For a script, --fail-if-worse 10 or more: of a hundred figures one may count by\n"
              "chance alone, and those that name no baseline differ, too, by what else the\n"
              "machine did.\n"
              "Exit status: 0 compared, whatever came out, 1 worse (--fail-if-worse), 2 not\n"
              "compared.\n",
    .options = options,
    .take = take,
};

static const struct command_line report_line = {
    .usage = "perf/run report FILE.json... [--html FILE]",
    .about = "Makes one page of HTML of results that --json wrote: pictures, and tables behind\n"
             "them. The page loads nothing from elsewhere.\n",
    .status = "Exit status: 0 written, 2 not written.\n",
    .options = options,
    .take = take,
};

static void parse(struct settings *s, int argc, char **argv)
{
    struct output none;
    if (argc < 2 || (strcmp(argv[1], "report") != 0 && strcmp(argv[1], "compare") != 0))
        fail("compare or report?");
    *s = (struct settings){.is_report = strcmp(argv[1], "report") == 0,
                           .worse_percent = NAN, .output = {.command = "compare"}};
    if (s->is_report)
        s->output.html = PAGE_DEFAULT;
    int rest = options_read(s->is_report ? &report_line : &compare_line, argv[1], s, &none, argc,
                            argv);
    s->files = argv + rest;
    s->file_count = (size_t)(argc - rest);
}

static void read_files(const struct settings *s, struct rows *ret)
{
    if (s->file_count > ROWS_FILES_MAX)
        fail("%zu files: %u at most", s->file_count, ROWS_FILES_MAX);
    for (size_t i = 0; i < s->file_count; i++) {
        char *why = rows_read(&ret[i], s->files[i]);
        if (why)
            fail("%s", why);
    }
}

static void report(const struct settings *s, const struct rows *files)
{
    if (s->file_count == 0)
        fail("a report of what? FILE.json..., which --json of another command wrote");
    FILE *out = fopen(s->output.html, "we");
    if (!out)
        fail("cannot write %s: %s", s->output.html, strerror(errno));
    unsigned pictures = report_write(files, s->file_count, out);
    output_close(out, s->output.html);
    printf("%s: %s\n", s->output.html, table_some(pictures, "picture"));
    table_end();
}

/* Returns the exit status. */
static int judge(const struct settings *s, const struct rows *files)
{
    size_t judged;
    if (isnan(s->worse_percent))
        return 0;
    size_t worse =
        compare_print_worse(&files[0], &files[1], s->worse_percent, &judged, stdout);
    if (judged == 0)
        fail("--fail-if-worse: of no figure can be told whether it is worse: too few rounds");
    return worse > 0 ? PERF_EXIT_WORSE : 0;
}

/* Returns the exit status. */
static int compare(struct settings *s, const struct rows *files)
{
    if (s->file_count == 0 && !isnan(s->worse_percent))
        fail("--fail-if-worse: than what? THEN.json and NOW.json, which --json wrote");
    if (s->file_count == 0) {
        peers_run(s->quick, &s->output);
        return 0;
    }
    if (s->file_count != 2)
        fail("two files are compared, then and now, or peers without any; see --help");
    if (s->quick)
        fail("--quick: nothing is measured where two files are compared");
    if (!compare_has_common(&files[0], &files[1]))
        fail("%s and %s have no figure in common: they are of different commands, or cases",
             files[0].path, files[1].path);
    output_check(&s->output);
    if (s->output.json)
        compare_json(&files[0], &files[1], s->output.json);
    compare_print(&files[0], &files[1], stdout);
    int status = judge(s, files);
    output_flush();
    if (s->output.html)
        report(s, files);
    return status;
}

int main(int argc, char **argv)
{
    static struct rows files[ROWS_FILES_MAX];
    struct settings s;
    parse(&s, argc, argv);
    ending_catch();
    read_files(&s, files);
    int status = 0;
    if (s.is_report)
        report(&s, files);
    else
        status = compare(&s, files);
    for (size_t i = 0; i < s.file_count; i++)
        rows_free(&files[i]);
    return status;
}
