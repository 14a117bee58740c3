// SPDX-License-Identifier: MIT
/*
 * `perf/run compare` and `perf/run report`: what is done with results, after they were measured.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "report/compare.h"
#include "report/peers.h"
#include "report/report.h"
#include "support/fail.h"

#define PAGE_DEFAULT "nigh-report.html"

static const char compare_usage[] =
    "Usage: perf/run compare THEN.json NOW.json\n"
    "       perf/run compare [--quick] [--json FILE]\n"
    "\n"
    "With two files that --json wrote: which figures differ by more than the spread of their\n"
    "rounds, and which only one of the files has. Without files: nigh and its peers, measured\n"
    "now, on the same keys: other hash tables, memcached, and Redis without nigh. What is not\n"
    "installed is named.\n"
    "\n"
    "  --quick       the peers in a smoke run of a minute: its figures mean little\n"
    "  --json FILE   write the results of both programs as JSON, too\n"
    "  --help        this text\n"
    "\n"
    "Exit status: 0 compared, whatever came out, 2 not compared.\n";

static const char report_usage[] =
    "Usage: perf/run report FILE.json... [--html FILE]\n"
    "\n"
    "Makes one page of HTML of results that --json wrote: pictures, and tables behind them. The\n"
    "page loads nothing from elsewhere.\n"
    "\n"
    "  --html FILE   the page (" PAGE_DEFAULT ")\n"
    "  --help        this text\n"
    "\n"
    "Exit status: 0 written, 2 not written.\n";

struct settings {
    bool is_report, quick;
    const char *html, *json;
    char **files;
    size_t file_count;
};

static void parse(struct settings *s, int argc, char **argv)
{
    static const struct option options[] = {
        {"html", required_argument, NULL, 'o'}, {"json", required_argument, NULL, 'j'},
        {"quick", no_argument, NULL, 'q'},      {"cache", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    int choice;
    if (argc < 2 || (strcmp(argv[1], "report") != 0 && strcmp(argv[1], "compare") != 0))
        fail("compare or report?");
    *s = (struct settings){.is_report = strcmp(argv[1], "report") == 0, .html = PAGE_DEFAULT};
    while ((choice = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1)
        switch (choice) {
        case 'o': s->html = optarg; break;
        case 'j': s->json = optarg; break;
        case 'q': s->quick = true; break;
        case 'c': break;
        case 'h': fputs(s->is_report ? report_usage : compare_usage, stdout); exit(0);
        default: fail("see --help");
        }
    s->files = argv + 1 + optind;
    s->file_count = (size_t)(argc - 1 - optind);
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
    FILE *out = fopen(s->html, "we");
    if (!out)
        fail("cannot write %s: %s", s->html, strerror(errno));
    unsigned pictures = report_write(files, s->file_count, out);
    if (ferror(out) || fclose(out) != 0)
        fail("cannot write %s", s->html);
    printf("%s: %u pictures\n", s->html, pictures);
}

int main(int argc, char **argv)
{
    static struct rows files[ROWS_FILES_MAX];
    struct settings s;
    parse(&s, argc, argv);
    read_files(&s, files);
    if (s.is_report)
        report(&s, files);
    else if (s.file_count == 2)
        compare_print(&files[0], &files[1], stdout);
    else if (s.file_count == 0)
        peers_run(s.quick, s.json);
    else
        fail("two files are compared, then and now, or peers without any; see --help");
    for (size_t i = 0; i < s.file_count; i++)
        rows_free(&files[i]);
    return 0;
}
