// SPDX-License-Identifier: MIT
// The text for Prometheus is what its format wants, line by line, whatever the spaces are called;
// and its numbers are those of the other forms.

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache.h"
#include "control/control.h"
#include "support/origin.h"

/* ---- a strict reader of the text format 0.0.4 ---- */

struct series {
    char family[128];  /* the metric of the TYPE line */
    char type[16];
    char keys[128];    /* the names of its labels, but for le; "?" before its first sample */
    unsigned families; /* so far */
    unsigned samples;
    char *seen[4096];  /* names of families, and samples up to their values */
    unsigned seen_count;
    /* of the histogram under way */
    char labels[256];
    double last_le, last_bucket;
    bool has_inf;
};

static bool remember(struct series *s, const char *text, size_t len)
{
    for (unsigned i = 0; i < s->seen_count; i++)
        if (strlen(s->seen[i]) == len && memcmp(s->seen[i], text, len) == 0)
            return false;
    REQUIRE(s->seen_count < sizeof(s->seen) / sizeof(s->seen[0]));
    s->seen[s->seen_count++] = strndup(text, len);
    return true;
}

static const char *name_end(const char *at)
{
    if (!isalpha((unsigned char)*at) && *at != '_' && *at != ':')
        return NULL;
    while (isalnum((unsigned char)*at) || *at == '_' || *at == ':')
        at++;
    return at;
}

/* The end of a label's value in quotes. */
static const char *value_end(const char *at)
{
    if (*at++ != '"')
        return NULL;
    for (; *at != '"'; at++) {
        if (*at == '\0' || *at == '\n' || (unsigned char)*at < 0x20)
            return NULL;
        if (*at == '\\' && !strchr("\\\"n", *++at))
            return NULL;
    }
    return at + 1;
}

/* The end of {label="value",...}. */
static const char *labels_end(const char *at)
{
    if (*at != '{')
        return at;
    do {
        const char *end = name_end(at + 1);
        at = end && *end == '=' ? value_end(end + 1) : NULL;
    } while (at && *at == ',');
    return at && *at == '}' ? at + 1 : NULL;
}

static bool number(const char *at, double *ret)
{
    char *end;
    if (!strcmp(at, "+Inf"))
        return *ret = 1e300, true;
    if (!isdigit((unsigned char)*at))
        return false;
    *ret = strtod(at, &end);
    return *end == '\0';
}

/* Whether a sample has the labels of those before it, as Prometheus wants it: else sum() and by()
 * mean two things. `labels` is well-formed. */
static bool same_keys(struct series *s, const char *labels)
{
    char keys[sizeof(s->keys)] = "";
    for (const char *at = labels; *at == '{' || *at == ',';) {
        const char *end = name_end(at + 1);
        size_t len = strlen(keys);
        if (strncmp(at + 1, "le=", 3) != 0)
            snprintf(keys + len, sizeof(keys) - len, "%.*s,", (int)(end - at - 1), at + 1);
        at = value_end(end + 1);
    }
    if (strcmp(s->keys, "?") == 0)
        strcpy(s->keys, keys);
    return strcmp(s->keys, keys) == 0;
}

/* Whether a sample called `name` belongs to the family under way. */
static bool in_family(const struct series *s, const char *name, size_t len)
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    size_t family = strlen(s->family);
    if (len < family || memcmp(name, s->family, family) != 0)
        return false;
    if (strcmp(s->type, "histogram") != 0)
        return len == family;
    name += family;
    len -= family;
    for (size_t i = 0; i < 3; i++)
        if (len == strlen(suffixes[i]) && !memcmp(name, suffixes[i], len))
            return true;
    return false;
}

/* Buckets rise in `le` and in count, end with +Inf, and that is what _count says. */
static bool histogram_sample(struct series *s, const char *name, const char *labels, double value)
{
    char *le = strstr(labels, "le=\"");
    if (strstr(name, "_bucket") == name + strcspn(name, "{") - 7) {
        char text[32] = "";
        double edge;
        if (!le || sscanf(le, "le=\"%31[^\"]", text) != 1 || !number(text, &edge))
            return false;
        bool first = strncmp(s->labels, labels, (size_t)(le - labels)) != 0 || s->has_inf;
        if (!first && (edge <= s->last_le || value < s->last_bucket))
            return false;
        snprintf(s->labels, sizeof(s->labels), "%.*s", (int)(le - labels), labels);
        s->last_le = edge;
        s->last_bucket = value;
        s->has_inf = edge > 1e299;
        return true;
    }
    if (!s->has_inf || le)
        return false;
    return strncmp(name + strlen(s->family), "_count", 6) != 0 || value == s->last_bucket;
}

static bool sample(struct series *s, const char *line)
{
    char labels[512];
    double value;
    const char *name = name_end(line);
    const char *end = name ? labels_end(name) : NULL;
    if (!end || *end != ' ' || !number(end + 1, &value) ||
        !in_family(s, line, (size_t)(name - line)) || !remember(s, line, (size_t)(end - line)))
        return false;
    s->samples++;
    snprintf(labels, sizeof(labels), "%.*s", (int)(end - name), name);
    if (!same_keys(s, labels))
        return false;
    return strcmp(s->type, "histogram") != 0 || histogram_sample(s, line, labels, value);
}

static bool comment(struct series *s, const char *line)
{
    char name[128], type[16];
    int at = 0;
    if (sscanf(line, "# HELP %127s %n", name, &at) == 1 && at > 0) {
        s->families++;
        snprintf(s->family, sizeof(s->family), "%s", name);
        s->type[0] = s->labels[0] = '\0';
        strcpy(s->keys, "?");
        s->has_inf = false;
        const char *end = name_end(name);
        return end && *end == '\0' && line[at] && !strchr(line + at, '\\') &&
               remember(s, line, (size_t)at); /* "# HELP name " */
    }
    if (sscanf(line, "# TYPE %127s %15s%n", name, type, &at) != 2 || line[at] || s->type[0] ||
        strcmp(name, s->family) != 0)
        return false;
    snprintf(s->type, sizeof(s->type), "%s", type);
    bool counts = strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total");
    return !strcmp(type, counts ? "counter" : "gauge") || (!counts && !strcmp(type, "histogram"));
}

/* Returns NULL, or the first line that is wrong. */
static const char *wrong_line(const char *text, struct series *s)
{
    static char line[2048];
    memset(s, 0, sizeof(*s));
    while (*text) {
        size_t len = strcspn(text, "\n");
        if (text[len] != '\n' || len >= sizeof(line))
            return "the last line does not end, or one is too long";
        memcpy(line, text, len);
        line[len] = '\0';
        if (!(line[0] == '#' ? comment(s, line) : s->type[0] && sample(s, line)))
            return line;
        text += len + 1;
    }
    return NULL;
}

static void forget(struct series *s)
{
    for (unsigned i = 0; i < s->seen_count; i++)
        free(s->seen[i]);
}

static bool is_right(const char *text)
{
    struct series s;
    bool right = !wrong_line(text, &s);
    forget(&s);
    return right;
}

#define METRIC(name, type) "# HELP " name " h\n# TYPE " name " " type "\n"

TEST(the_reader_is_strict)
{
    static const char *const right[] = {
        "", METRIC("a_total", "counter") "a_total{b=\"d\"} 1\na_total{b=\"c\"} 2\n",
        METRIC("a", "gauge") "a{b=\"\\\\\\\"\\n\",c=\"d\"} 1.5e3\n",
        METRIC("a", "histogram") "a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\n"
                                 "a_sum 3\na_count 2\n",
    };
    static const char *const wrong[] = {
        METRIC("a_total", "counter") "a_total 1\na_total{b=\"c\"} 2\n",
        METRIC("a", "gauge") "a{b=\"1\"} 1\na{c=\"1\"} 2\n",
        "a 1\n", METRIC("a", "gauge") "b 1\n", METRIC("a", "gauge") "a 1", METRIC("a", "counter"),
        METRIC("a_total", "gauge"), METRIC("a", "gauge") "a 1\na 2\n",
        METRIC("a", "gauge") METRIC("a", "gauge"), METRIC("a", "gauge") "a{b=\"\\x\"} 1\n",
        METRIC("a", "gauge") "a{b=c} 1\n", METRIC("a", "gauge") "a{b=\"c\" 1\n",
        METRIC("a", "gauge") "a x\n", METRIC("a", "gauge") "a\n", "# TYPE a gauge\n",
        METRIC("1a", "gauge"), METRIC("a", "gauge") "a  1\n", METRIC("a", "gauge") "\n",
        METRIC("a", "histogram") "a_bucket{le=\"1\"} 1\na_sum 3\na_count 1\n",
        METRIC("a", "histogram") "a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n",
        METRIC("a", "histogram") "a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n",
        METRIC("a", "histogram") "a_bucket{le=\"+Inf\"} 2\na_sum 3\na_count 1\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(right); i++)
        if (!CHECK(is_right(right[i])))
            check_note("%s", right[i]);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        if (!CHECK(!is_right(wrong[i])))
            check_note("%s", wrong[i]);
}

/* ---- ours ---- */

static char *text_of(struct nigh *cache)
{
    long len = nigh_stats(cache, NIGH_STATS_PROMETHEUS, NULL, 0);
    REQUIRE(len > 0);
    char *text = malloc((size_t)len + 4096);
    REQUIRE(text);
    REQUIRE(nigh_stats(cache, NIGH_STATS_PROMETHEUS, text, (size_t)len + 4096) < len + 4096);
    return text;
}

/* The value of a sample; `line`: all of it up to the blank. */
static double value_of(const char *text, const char *line)
{
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "\n%s ", line);
    const char *at = strstr(text, wanted);
    if (!CHECK(at)) {
        check_note("%s", line);
        return -1;
    }
    return strtod(at + strlen(wanted), NULL);
}

/* Returns the sum of a metric's samples, whatever their labels. */
static double sum_of(const char *text, const char *name)
{
    double sum = 0;
    size_t len = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at += len)
        if (at[-1] == '\n' && (at[len] == ' ' || at[len] == '{'))
            sum += strtod((at[len] == '{' ? labels_end(at + len) : at + len) + 1, NULL);
    return sum;
}

/* Whatever has counted, in a space or beside them all, is in the sum of what Prometheus gets. */
static void check_sums(const struct world *w, const char *text)
{
    struct nigh_stats_info info;
    char name[128];
    for (size_t i = 0; nigh_stats_info(i, &info) == 0; i++) {
        snprintf(name, sizeof(name), "nigh_%s_total", info.name);
        if (info.kind == NIGH_STATS_COUNTER &&
            !CHECK_EQ(sum_of(text, name), nigh_stats_value(w->cache, NULL, info.name)))
            check_note("%s", name);
    }
}

/* Counts where the library does: in the cache's own set what is of no space, else in both. */
static void count_in_each(struct world *w)
{
    static const enum stats_counter either[] = {
        STATS_READ_ERROR, STATS_ASYNC_BEGUN, STATS_ASYNC_BUSY, STATS_ASYNC_CANCELLED,
        STATS_L1_MOVE,    STATS_L1_GROW,     STATS_L1_LONG_CHAIN,
    };
    static const enum stats_counter alone[] = {
        STATS_L2_BAD_REPLY,  STATS_L2_REQUEST, STATS_L2_REFUSED,      STATS_TRACE_RECORDED,
        STATS_TRACE_DROPPED, STATS_INVALIDATE, STATS_BACKGROUND_LOST, STATS_FRAME,
        STATS_LISTENER_LOST,
    };
    for (size_t i = 0; i < ARRAY_COUNT(either); i++) {
        stats_count(&w->cache->stats, either[i]);
        stats_count(&w->space->stats, either[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(alone); i++)
        stats_count(&w->cache->stats, alone[i]);
}

TEST(the_text_keeps_to_the_format_and_to_the_other_numbers)
{
    struct world w;
    struct series s;
    world_open_exact(&w);
    ask_fetch(w.space, "k", NULL);
    for (int i = 0; i < 3; i++)
        ask_get(w.space, "k", NULL);
    count_in_each(&w);
    char *text = text_of(w.cache);
    const char *wrong = wrong_line(text, &s);
    if (!CHECK(!wrong))
        check_note("%s", wrong);
    CHECK_GT(s.families, 100);
    CHECK_EQ(value_of(text, "nigh_l1_fresh_total{space=\"s\"}"), 3);
    CHECK_EQ(value_of(text, "nigh_load_total{space=\"s\"}"), 1);
    CHECK_EQ(value_of(text, "nigh_entries"), 1);
    CHECK_EQ(value_of(text, "nigh_memory_cap_bytes"), world_count(&w, "memory_cap_bytes"));
    check_sums(&w, text);
    forget(&s);
    free(text);
    world_close(&w);
}

TEST(names_of_any_bytes_leave_the_format_whole)
{
    struct world w;
    struct series s;
    struct nigh_space *space;
    world_open_exact(&w);
    REQUIRE_EQ(nigh_space_open(w.cache, "q\"b\\n\n", NULL, NULL, NULL, NULL, &space), 0);
    REQUIRE_EQ(nigh_space_open(w.cache, "\xe9\x1b[31m", NULL, NULL, NULL, NULL, &space), 0);
    REQUIRE_EQ(nigh_space_open(w.cache, "caf\xc3\xa9", NULL, NULL, NULL, NULL, &space), 0);
    char *text = text_of(w.cache);
    const char *wrong = wrong_line(text, &s);
    if (!CHECK(!wrong))
        check_note("%s", wrong);
    CHECK_EQ(value_of(text, "nigh_load_total{space=\"q\\\"b\\\\x5cn\\\\x0a\"}"), 0);
    CHECK_EQ(value_of(text, "nigh_load_total{space=\"\\\\xe9\\\\x1b[31m\"}"), 0);
    CHECK_EQ(value_of(text, "nigh_load_total{space=\"caf\xc3\xa9\"}"), 0);
    forget(&s);
    free(text);
    world_close(&w);
}

static bool has_promtool(void)
{
    return system("command -v promtool >/dev/null 2>&1") == 0;
}

/* Prometheus' own tool finds nothing wrong, where it is installed (Debian: prometheus). */
TEST(promtool_finds_nothing_wrong)
{
    struct world w;
    if (!has_promtool())
        return; /* the reader above has said what there is to say */
    world_open_exact(&w);
    ask_fetch(w.space, "k", NULL);
    char *text = text_of(w.cache);
    FILE *tool = popen("promtool check metrics", "w");
    REQUIRE(tool);
    fputs(text, tool);
    CHECK_EQ(pclose(tool), 0);
    free(text);
    world_close(&w);
}

TEST(promtool_finds_nothing_wrong_in_the_alerts)
{
    const char *rules = NIGH_TEST_SOURCE "/cmake/monitoring/alerts.yml";
    char command[4096];
    snprintf(command, sizeof(command), "promtool check rules '%s'", rules);
    if (has_promtool())
        CHECK_EQ(system(command), 0);
}

/* Each alert comes when it should, and not for what only looks like it. */
TEST(promtool_sees_each_alert_come)
{
    if (has_promtool())
        CHECK_EQ(system("promtool test rules '" NIGH_TEST_SOURCE "/test/monitoring/alerts.yml'"),
                 0);
}

/* ---- what else is installed ---- */

static char *file_of_source(const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", NIGH_TEST_SOURCE, name);
    FILE *in = fopen(path, "r");
    if (!CHECK(in)) {
        check_note("%s", path);
        return NULL;
    }
    char *text = calloc(1, 1 << 20);
    REQUIRE(text);
    REQUIRE(fread(text, 1, (1 << 20) - 1, in) > 0);
    fclose(in);
    return text;
}

/* Checks each name that begins with nigh_. Returns how many there are. */
static unsigned check_names(const char *file, const char *metrics)
{
    unsigned count = 0;
    const char *at = file;
    while ((at = strstr(at, "nigh_"))) {
        const char *end = name_end(at);
        char sample[160], labelled[160];
        bool is_call = *end == '(';
        snprintf(sample, sizeof(sample), "\n%.*s ", (int)(end - at), at);
        snprintf(labelled, sizeof(labelled), "\n%.*s{", (int)(end - at), at);
        if (!is_call && !CHECK(strstr(metrics, sample) || strstr(metrics, labelled)))
            check_note("there is no %.*s", (int)(end - at), at);
        count += !is_call;
        at = end;
    }
    return count;
}

TEST(dashboard_and_alerts_name_what_there_is)
{
    static const char *const files[] = {"cmake/monitoring/grafana.json",
                                        "cmake/monitoring/alerts.yml"};
    struct world w;
    world_open_exact(&w);
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "3m"), 0); /* which has gauges of its own */
    char *metrics = text_of(w.cache);
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        char *file = file_of_source(files[i]);
        if (file)
            CHECK_GT(check_names(file, metrics), 10);
        free(file);
    }
    free(metrics);
    world_close(&w);
}

/* Writes an expression up to its closing quote, with a time in the place of each variable. JSON and
 * YAML escape alike what occurs. */
static void write_expression(const char *at, FILE *out)
{
    for (; *at != '"'; at++) {
        if (*at == '$') {
            fputs("5m", out);
            at += strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_");
        } else {
            fputc(*at, out);
            if (*at == '\\')
                fputc(*++at, out);
        }
    }
}

/* Writes what the dashboard asks as rules. Returns how many there are. */
static unsigned write_rules(const char *dashboard, FILE *out)
{
    static const char field[] = "\"expr\": \"";
    unsigned count = 0;
    fprintf(out, "groups:\n  - name: dashboard\n    rules:\n");
    for (const char *at = dashboard; (at = strstr(at, field)); count++) {
        at += strlen(field);
        fprintf(out, "      - record: row_%u\n        expr: \"", count);
        write_expression(at, out);
        fprintf(out, "\"\n");
    }
    return count;
}

TEST(promtool_understands_what_the_dashboard_asks)
{
    char path[] = "/tmp/nigh-rules-XXXXXX";
    char command[100];
    if (!has_promtool())
        return;
    char *dashboard = file_of_source("cmake/monitoring/grafana.json");
    int fd = mkstemp(path);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    REQUIRE(dashboard && out);
    CHECK_GT(write_rules(dashboard, out), 30);
    fclose(out);
    snprintf(command, sizeof(command), "promtool check rules '%s'", path);
    CHECK_EQ(system(command), 0);
    unlink(path);
    free(dashboard);
}

/* The control socket refused a scraper from some 550 spaces on. */
TEST(what_there_is_of_all_spaces_fits_into_an_answer)
{
    struct world w;
    struct nigh_space *space;
    char name[NIGH_NAME_MAX + 1];
    world_open_exact(&w);
    for (unsigned i = 1; i < SPACES_MAX; i++) {
        snprintf(name, sizeof(name), "%0*u", (int)NIGH_NAME_MAX, i);
        REQUIRE_EQ(nigh_space_open(w.cache, name, NULL, NULL, NULL, NULL, &space), 0);
    }
    for (int format = NIGH_STATS_TEXT; format <= NIGH_STATS_PROMETHEUS; format++)
        CHECK_LT(nigh_stats(w.cache, (enum nigh_stats_format)format, NULL, 0),
                 CONTROL_REPLY_BYTES - 65536);
    world_close(&w);
}

/* ---- lists ---- */

TEST(lists_name_what_can_be_asked)
{
    struct world w;
    struct nigh_stats_info info;
    unsigned kinds[4] = {0};
    const char *name = NULL;
    world_open_exact(&w);
    for (size_t i = 0; nigh_stats_info(i, &info) == 0; i++) {
        const char *space = info.kind == NIGH_STATS_SPACE_GAUGE ? "s" : NULL;
        bool has = nigh_stats_value(w.cache, space, info.name) >= 0;
        bool must = info.kind == NIGH_STATS_GAUGE || info.kind == NIGH_STATS_COUNTER;
        kinds[info.kind]++;
        if (!CHECK(has || !must)) /* some are of capped spaces */
            check_note("%s", info.name);
        CHECK(info.what[0]);
    }
    for (int i = 0; i < 4; i++)
        CHECK_GT(kinds[i], 0);
    CHECK_EQ(nigh_stats_info((size_t)-1, &info), NIGH_EINVAL);
    CHECK(nigh_stats_space(w.cache, 0, &name) == w.space);
    CHECK_STR(name, "s");
    CHECK(!nigh_stats_space(w.cache, 1, &name));
    CHECK_STR(name, "s"); /* untouched */
    world_close(&w);
}
