// SPDX-License-Identifier: MIT
/*
 * nigh top: what processes do at this moment, at 80 columns.
 *
 * Twice asked, the differences are rates (second.h). Of several sockets (a prefork host has one for
 * each process) numbers are added up, and of latencies and ages the worst is shown. Which sockets
 * there are is looked up each time: workers of such a host are replaced.
 */
#include "tool/second.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_MS 1000
#define WIDTH 80 /* of tables at least: a narrower terminal has the left part of them */
#define WIDTH_MAX 200
#define LABEL_COLUMNS 9
#define SPACE_COLUMNS 12
#define ROWS_ONCE 12 /* of keys, where it is no terminal */

struct screen {
    struct tool_args args;
    struct second second;      /* the last one */
    char who[48];              /* the process, where it is one alone: "process 7, node 17c2" */
    bool live;
    int rows_left;
    size_t columns;            /* of what is shown */
    size_t width;              /* of the terminal */
    struct termios saved;
};

static volatile sig_atomic_t ended, suspended;

static void end(int number)
{
    (void)number;
    ended = 1;
}

static void suspend(int number)
{
    (void)number;
    suspended = 1;
}

/* Finds out who the process is, as others name it in what they say of changes. */
static void ask_who(struct screen *s)
{
    struct line_answer a = {NULL, NULL};
    char node[16] = "";
    unsigned process;
    s->who[0] = '\0';
    if (s->args.socket_count == 1)
        lines_ask(s->args.sockets, 1, "version", second_patience_ms(&s->args), &a);
    if (a.text && sscanf(a.text, "nigh %*[^,], process %u, node %8[0-9a-f]", &process, node) >= 1)
        snprintf(s->who, sizeof(s->who), "process %u%s%s", process, *node ? ", node " : "", node);
    free(a.text);
}

/* ---- showing ---- */

static double gauge(const struct screen *s, const char *name)
{
    return second_gauge(&s->second, name);
}

static double rate(const struct screen *s, const char *space, const char *name)
{
    return second_rate(&s->second, space, name);
}

static double rate_of_spaces(const struct screen *s, const char *name)
{
    return second_rate_of_spaces(&s->second, name);
}

static double latency_ns(const struct screen *s, const char *space, const char *name)
{
    return second_latency_ns(&s->second, space, name);
}

static double lowest(const struct screen *s, const char *a, const char *b, const char *c)
{
    return second_lowest(&s->second, a, b, c);
}

/* Cuts a line at the terminal's width, in characters. */
static void cut(char *text, size_t width)
{
    for (; *text; text++) {
        bool goes_on = ((unsigned char)*text & 0xc0) == 0x80;
        if (!goes_on && width-- == 0)
            *text = '\0';
        if (!*text)
            return;
    }
}

__attribute__((format(printf, 2, 3))) static void line(struct screen *s, const char *fmt, ...)
{
    char text[4 * WIDTH_MAX + 1];
    va_list args;
    if (s->live && s->rows_left-- <= 0)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    line_make_harmless(text, strlen(text));
    if (s->live)
        cut(text, s->width);
    printf("%s%s\n", s->live ? "\033[K" : "", text);
}

/* "12.3k": at most five characters. */
static const char *count_text(double n)
{
    static char texts[16][16];
    static unsigned next;
    static const char units[] = " kMGTP";
    char *text = texts[next++ % 16];
    int unit = 0;
    for (; n >= 9999.5 && unit < 5; unit++)
        n /= 1000;
    snprintf(text, sizeof(texts[0]), unit && n < 100 ? "%.1f%.1s" : "%.0f%.1s", n,
             unit ? &units[unit] : "");
    return text;
}

static const char *bytes_text(double n)
{
    static char texts[8][24];
    static unsigned next;
    char *text = texts[next++ % 8];
    snprintf(text, sizeof(texts[0]), n >= 1024. * 1024 * 1024 ? "%.2f GiB" : "%.1f MiB",
             n / (n >= 1024. * 1024 * 1024 ? 1024. * 1024 * 1024 : 1024. * 1024));
    return text;
}

static const char *time_text(double ns)
{
    static char texts[16][16];
    static unsigned next;
    static const struct {
        double unit;
        const char *name;
    } units[] = {{86400e9, "d"}, {3600e9, "h"}, {60e9, "m"}, {1e9, "s"},
                 {1e6, "ms"},    {1e3, "us"},   {1, "ns"}};
    char *text = texts[next++ % 16];
    size_t i = 0;
    if (ns <= 0)
        return "-";
    while (i < 6 && ns < units[i].unit)
        i++;
    double n = ns / units[i].unit;
    snprintf(text, sizeof(texts[0]), n < 10 ? "%.1f%s" : "%.0f%s", n, units[i].name);
    return text;
}

static const char *latency(const struct screen *s, const char *space, const char *name)
{
    return time_text(latency_ns(s, space, name));
}

static const char *yes_of(double n, size_t count)
{
    return n >= (double)count ? "yes" : n > 0 ? "some" : "NO";
}

/* Shows so many lines of a text at most, and frees it. */
static void print_lines(struct screen *s, char *text, int most)
{
    for (char *rest = text, *at; text && most-- > 0 && (at = strsep(&rest, "\n")) && *at;)
        line(s, "%s", at);
    free(text);
}

/* Shows what may be longer than a line, in so many at most. */
__attribute__((format(printf, 3, 4))) static void row(struct screen *s, int most, const char *fmt,
                                                      ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        return;
    print_lines(s, fold(text, s->live ? s->width : s->columns), most);
    free(text);
}

/* Returns how bad the health is that an answer tells: 0 is ok. */
static size_t badness(const char *answer)
{
    static const char *const states[] = {"ok", "degraded", "doubt"};
    size_t i = sizeof(states) / sizeof(states[0]);
    while (i-- > 0 && strncmp(answer, states[i], strlen(states[i])) != 0)
        ;
    return i + 1;
}

/* Says how that process is that is worst off, in its own words, and how many are not well. */
static void show_health(struct screen *s)
{
    struct line_answer answers[TOOL_SOCKETS_MAX];
    const char *worst = NULL;
    size_t bad = 0;
    lines_ask(s->args.sockets, s->args.socket_count, "health", second_patience_ms(&s->args),
              answers);
    for (size_t i = 0; i < s->args.socket_count; i++) {
        if (!answers[i].text)
            continue;
        bad += badness(answers[i].text) > 1;
        if (!worst || badness(answers[i].text) > badness(worst))
            worst = answers[i].text;
    }
    if (worst && bad > 0 && s->second.now.count > 1)
        row(s, 2, "health   %zu of %zu processes %s not well; the worst:", bad, s->second.now.count,
            bad == 1 ? "is" : "are");
    if (worst)
        row(s, 3, "%-*s%.*s", LABEL_COLUMNS, bad > 0 && s->second.now.count > 1 ? "" : "health",
            (int)strcspn(worst, "\n"), worst);
    for (size_t i = 0; i < s->args.socket_count; i++)
        free(answers[i].text);
}

/* Says how late changes came in this second, as far as that was measured: few are. */
static void show_lag(struct screen *s)
{
    static const struct {
        const char *name, *words;
    } parts[] = {{"coherence_lag", "changes come here after"},
                 {"latency_change", "own accepted"},
                 {"latency_heard", "own heard"}};
    char text[160] = "";
    size_t len = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        double ns = latency_ns(s, NULL, parts[i].name);
        if (ns > 0)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s %s",
                                    len > 0 ? ";" : "p99:", parts[i].words, time_text(ns));
    }
    row(s, 2, "lag      %s", len > 0 ? text : "no change in this second");
}

static void show_link(struct screen *s)
{
    size_t n = s->second.now.count;
    row(s, 2, "redis    connected %s, breaker %s; requests %s/s, %s under way",
        yes_of(gauge(s, "connected"), n), gauge(s, "breaker") > 0 ? "OPEN" : "closed",
        count_text(rate(s, NULL, "l2_request")), count_text(gauge(s, "in_flight")));
    row(s, 2, "trust    trusted %s, listening %s; messages %s/s, resyncs %s/s, queued %s",
        yes_of(gauge(s, "trusted"), n), yes_of(gauge(s, "listening"), n),
        count_text(rate(s, NULL, "frame")), count_text(rate(s, NULL, "resync")),
        count_text(gauge(s, "queued")));
    show_lag(s);
}

/* Says what L1 had of the keys that were missed in this second, by a sample as the misses began. */
static void show_causes(struct screen *s)
{
    static const struct {
        const char *counter, *words;
    } causes[] = {
        {"miss_of_new", "new or forgotten"},
        {"miss_of_absent", "\"does not exist\" expired"},
        {"miss_of_expired", "expired"},
        {"miss_of_evicted", "evicted or refused"},
        {"miss_of_changed", "changed"},
        {"miss_of_other", "other"},
    };
    enum { CAUSES = sizeof(causes) / sizeof(causes[0]) };
    double of[CAUSES], sum = 0;
    char text[CAUSES * 40] = "", *to = text;
    for (size_t i = 0; i < CAUSES; i++)
        sum += of[i] = rate_of_spaces(s, causes[i].counter);
    for (size_t i = 0; i < CAUSES; i++)
        if (200 * of[i] >= sum && sum > 0)
            to += sprintf(to, "%s%s %.0f %%", to == text ? "" : ", ", causes[i].words,
                          100 * of[i] / sum);
    if (sum > 0)
        row(s, 2, "because  %s", text);
}

/* Says what the misses of this second were for, as they ended. */
static void show_misses(struct screen *s)
{
    double all = rate_of_spaces(s, "l1_miss"), absent = rate_of_spaces(s, "miss_absent");
    absent = absent < all ? absent : all; /* of earlier ones, too */
    if (all <= 0)
        return;
    row(s, 2, "misses   %s/s, %s of them (%.0f %%) for keys that do not exist", count_text(all),
        count_text(absent), 100 * absent / all);
    show_causes(s);
}

/* Says what is used of the cap, by parts that add up, in the unit of the cap. */
static void show_memory(struct screen *s)
{
    double cap = gauge(s, "memory_cap_bytes"), used = gauge(s, "memory_bytes");
    double tables = gauge(s, "tables_bytes"), limbo = gauge(s, "limbo_bytes");
    double unstored = gauge(s, "unstored_bytes"), values = used - tables - limbo - unstored;
    bool large = cap >= 1024. * 1024 * 1024;
    double unit = large ? 1024. * 1024 * 1024 : 1024. * 1024;
    row(s, 2, "memory   %.1f of %.1f %s (%.0f %%): values %.1f, tables %.1f, other %.1f",
        used / unit, cap / unit, large ? "GiB" : "MiB", cap > 0 ? 100 * used / cap : 0,
        (values > 0 ? values : 0) / unit, tables / unit, (limbo + unstored) / unit);
    row(s, 2, "entries  %s, resident %s; loading %s, deferred %s, calls pending %s",
        count_text(gauge(s, "entries")), bytes_text(gauge(s, "resident_bytes")),
        count_text(gauge(s, "flights")), count_text(gauge(s, "deferred")),
        count_text(gauge(s, "async")));
}

/* Says who is shown, and for how long it is up: of several the one that was started last. */
static void show_who(struct screen *s)
{
    char when[16], who[64], up[40] = "";
    double up_ns = 1e6 * lowest(s, "gauges", "uptime_ms", NULL);
    time_t t = time(NULL);
    struct tm utc;
    gmtime_r(&t, &utc);
    strftime(when, sizeof(when), "%H:%M:%S UTC", &utc); /* as logs and explanations are */
    snprintf(who, sizeof(who), "%zu of %zu processes", s->second.now.count, s->args.socket_count);
    if (up_ns > 0)
        snprintf(up, sizeof(up), ", %s %s", s->second.now.count > 1 ? "youngest up for" : "up for",
                 time_text(up_ns));
    line(s, "nigh top   %s%s   %s%s", *s->who ? s->who : who, up, when,
         s->live ? "   q quits" : "");
}

static void show_head(struct screen *s)
{
    show_who(s);
    if (s->second.now.count == 0) {
        line(s, "%s", "");
        line(s, "no process answers%s%s: one that does is shown as soon as it is there",
             s->second.now.why ? ": " : "", s->second.now.why ? s->second.now.why : "");
        return;
    }
    show_health(s);
    show_memory(s);
    if (gauge(s, "following") + gauge(s, "connected") > 0 ||
        second_has_text(&s->second, "redis_problem"))
        show_link(s);
    show_misses(s);
}

static void show_space(struct screen *s, const char *name)
{
    double fresh = rate(s, name, "l1_fresh");
    double stale = rate(s, name, "l1_stale");
    double reads = fresh + stale + rate(s, name, "l1_miss");
    double l2 = rate(s, name, "l2_fresh") + rate(s, name, "l2_stale");
    double evicted = rate(s, name, "l1_evict") - rate(s, name, "l1_shed");
    char shown[4 * SPACE_COLUMNS + 1];
    hot_put_name(shown, name, SPACE_COLUMNS);
    line(s, "%s %7s %5.1f %5.1f %6.1f %5.1f %7s %7s %5s %6s %5s", shown, count_text(reads),
         reads > 0 ? 100 * (fresh + stale) / reads : 0, second_hits_1m(&s->second, name),
         reads > 0 ? 100 * stale / reads : 0, reads > 0 ? 100 * l2 / reads : 0,
         count_text(rate(s, name, "load")), count_text(evicted > 0 ? evicted : 0),
         time_text(1e6 * lowest(s, "spaces", name, "evicted_age_ms")),
         latency(s, name, "latency_l2"), latency(s, name, "latency_load"));
}

/* Shows the spaces, and what the heads of the columns do not say. */
static void show_spaces(struct screen *s)
{
    char minute[16];
    double seconds = second_minute_s(&s->second);
    snprintf(minute, sizeof(minute), "%.0f s", seconds < 9999 ? seconds : 9999);
    line(s, "%s", "");
    line(s, "%-12s %7s %5s %5s %6s %5s %7s %7s %5s %6s %5s", "space", "reads/s", "L1%", minute,
         "stale%", "L2%", "loads/s", "evict/s", "age", "p99 L2", "load");
    for (size_t i = 0; i < s->second.space_count; i++)
        show_space(s, s->second.spaces[i]);
    if (s->second.more_spaces)
        line(s, "there are more spaces than these %d: nigh spaces lists all", SECOND_SPACES);
    line(s, "L1%%: of this second, of %s; age: a tenth of the evicted was younger; -: none",
         minute);
}

/* Shows the keys of each space in what is left of the screen, in equal parts. */
static void show_hot(struct screen *s)
{
    struct moment hot;
    size_t spaces = s->second.space_count;
    memset(&hot, 0, sizeof(hot));
    moment_ask(&hot, &s->args, "hot json");
    int left = s->live ? s->rows_left - 2 : ROWS_ONCE;
    size_t rows = spaces && left > 0 ? (size_t)left / spaces : 0;
    print_lines(s, hot_groups(hot.of, TOOL_SOCKETS_MAX, s->columns), 1);
    for (size_t i = 0; i < spaces; i++) {
        const char *name = s->second.spaces[i];
        char *text = hot_table(hot.of, TOOL_SOCKETS_MAX, name, s->columns, rows > 3 ? rows - 1 : 2);
        if (text)
            line(s, spaces > 1 ? "%.60s" : "%.0s", name);
        print_lines(s, text, INT_MAX);
    }
    moment_free(&hot);
}

/* Takes the size of the terminal. Wider ones have more room for keys. */
static void measure(struct screen *s)
{
    struct winsize size = {.ws_row = 0};
    if (s->live)
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    s->rows_left = size.ws_row ? size.ws_row - 1 : 23;
    s->width = size.ws_col ? size.ws_col : WIDTH;
    s->columns = size.ws_col < WIDTH ? WIDTH : size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
}

static void show(struct screen *s)
{
    measure(s);
    if (s->live)
        printf("\033[H");
    show_head(s);
    if (s->second.now.count > 0) {
        show_spaces(s);
        show_hot(s);
    }
    if (s->live)
        printf("\033[J");
    fflush(stdout);
}

/* ---- running ---- */

/* Takes another screen, without a cursor, on which no line goes on in the next: there are
 * characters of two columns. */
static void prepare_terminal(struct screen *s)
{
    struct termios raw;
    tcgetattr(STDIN_FILENO, &s->saved);
    raw = s->saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    printf("\033[?1049h\033[?25l\033[?7l\033[2J");
}

static void restore_terminal(struct screen *s)
{
    printf("\033[?7h\033[?25h\033[?1049l");
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &s->saved);
}

/* Stops, as the user has asked by ^Z, and goes on when the shell says so. */
static void rest(struct screen *s)
{
    suspended = 0;
    restore_terminal(s);
    signal(SIGTSTP, SIG_DFL);
    raise(SIGTSTP);
    signal(SIGTSTP, suspend);
    prepare_terminal(s);
}

/* The terminal is left as it was found, whichever signal ends or stops the program. */
static void take_signals(const struct screen *s)
{
    signal(SIGINT, end);
    signal(SIGTERM, end);
    if (!s->live)
        return;
    signal(SIGHUP, end);
    signal(SIGQUIT, end);
    signal(SIGTSTP, suspend);
}

/* Whether it is a terminal on which one may write anywhere. */
static bool is_screen(void)
{
    const char *term = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

/* Waits for the period. Returns whether to go on. */
static bool wait_period(struct screen *s)
{
    struct pollfd in = {.fd = s->live ? STDIN_FILENO : -1, .events = POLLIN};
    char key = 0;
    int ready = suspended ? -1 : poll(&in, 1, PERIOD_MS);
    if (suspended)
        rest(s);
    if (ready > 0 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
        return false;
    return !ended;
}

static void step(struct screen *s)
{
    tool_find_sockets(&s->args);
    second_ask(&s->second, &s->args);
    ask_who(s);
}

/* Says of each socket why it shows nothing. */
static int say_nobody(const struct tool_args *args)
{
    struct line_answer answers[TOOL_SOCKETS_MAX];
    lines_ask(args->sockets, args->socket_count, "stats json", args->timeout_ms, answers);
    for (size_t i = 0; i < args->socket_count; i++) {
        const char *text = answers[i].text;
        const char *why = text ? "what it answers is none of nigh's" : answers[i].why;
        if (text && line_is_error(text))
            why = text + strlen("error: ");
        why = why ? why : "no memory";
        fprintf(stderr, "nigh: %s: %.*s\n", args->sockets[i], (int)strcspn(why, "\n"), why);
        free(answers[i].text);
    }
    return TOOL_NOBODY;
}

int top_run(const struct tool_args *args)
{
    static struct screen s;
    s.args = *args;
    s.live = !args->once && is_screen();
    second_ask(&s.second, args);
    if (s.second.now.count == 0)
        return say_nobody(args);
    take_signals(&s);
    if (s.live)
        prepare_terminal(&s);
    while (wait_period(&s)) {
        step(&s);
        show(&s);
        if (!s.live)
            break;
    }
    if (s.live)
        restore_terminal(&s);
    int status = s.second.now.count > 0 ? TOOL_DONE : TOOL_NOBODY;
    moment_free(&s.second.before);
    moment_free(&s.second.now);
    return status;
}
