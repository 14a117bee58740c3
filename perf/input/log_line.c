// SPDX-License-Identifier: MIT
/*
 * Taking a line of an access log apart.
 *
 * A host may be in brackets (an IPv6 address), and a user's name may hold anything, so the first
 * fields are not counted: the time is what stands in the first brackets that a blank and a quote
 * follow, and with that quote the request begins. Inside the request a quote is escaped with a
 * backslash. A target may hold blanks (nginx writes them as they came), so it
 * ends at the last one, if "HTTP/" follows.
 */
#include "input/log_line.h"

#include <time.h>

#define DIGITS_MAX 18 /* of a number that surely fits into 64 bits */

/* ---- pieces ---- */

/* Takes all up to the quote with which the request begins; *ret is the time. */
static bool take_head(struct text *rest, struct text *ret)
{
    struct text head;
    while (memchr(rest->data, ']', rest->len)) {
        text_cut(rest, ']', &head);
        const char *open = memrchr(head.data, '[', head.len);
        if (!open || rest->len < 2 || rest->data[0] != ' ' || rest->data[1] != '"')
            continue;
        *ret = (struct text){open + 1, (size_t)(head.data + head.len - open) - 1};
        rest->data += 2;
        rest->len -= 2;
        return true;
    }
    return false;
}

/* Digits, then a blank or the end. */
static bool take_number(struct text *rest, uint64_t *ret)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; n < rest->len && rest->data[n] >= '0' && rest->data[n] <= '9'; n++)
        value = n < DIGITS_MAX ? value * 10 + (uint64_t)(rest->data[n] - '0') : value;
    if (n == 0 || n > DIGITS_MAX || (n < rest->len && rest->data[n] != ' '))
        return false;
    n += n < rest->len;
    rest->data += n;
    rest->len -= n;
    *ret = value;
    return true;
}

/* Takes all before the first quote that is not escaped. */
static bool take_quoted(struct text *rest, struct text *ret)
{
    size_t n = 0;
    while (n < rest->len && rest->data[n] != '"')
        n += rest->data[n] == '\\' ? 2 : 1;
    if (n >= rest->len)
        return false;
    *ret = (struct text){rest->data, n};
    rest->data += n + 1;
    rest->len -= n + 1;
    return true;
}

/* ---- the site ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "www.example.com" or "www.example.com:80"; an IPv6 address has more colons, one of IPv4 no
 * letters. */
static bool is_name(struct text t)
{
    size_t letters = 0, port = t.len;
    while (port > 0 && is_digit(t.data[port - 1]))
        port--;
    if (port > 0 && port < t.len && t.data[port - 1] == ':')
        t.len = port - 1;
    for (size_t i = 0; i < t.len; i++) {
        letters += is_letter(t.data[i]);
        if (!is_letter(t.data[i]) && !is_digit(t.data[i]) && !memchr(".-_", t.data[i], 3))
            return false;
    }
    return letters > 0;
}

/* Takes the site out of what stands before the time. "host - user" has none, whatever blanks the
 * user's name holds, for there the second word is "-". */
static struct text site_of(struct text head)
{
    struct text first, host, ident, none = {head.data, 0};
    if (!text_cut(&head, ' ', &first) || !text_cut(&head, ' ', &host) ||
        !text_cut(&head, ' ', &ident) || head.len == 0)
        return none;
    bool is_site = is_name(first) && !text_is(host, "-") && text_is(ident, "-");
    return is_site ? first : none;
}

/* ---- the time ---- */

static int month_of(const char *name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int m = 0; m < 12; m++)
        if (memcmp(names + 3 * (size_t)m, name, 3) == 0)
            return m;
    return -1;
}

static int digits(const char *at, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        value = value * 10 + (at[i] - '0');
    }
    return value;
}

/* "10/Oct/2000:13:55:36 -0700"; any other way to write the time is no fault, but is not read. */
static void take_time(struct text t, struct log_line *ret)
{
    ret->has_time = false;
    if (t.len != 26 || t.data[2] != '/' || t.data[6] != '/' || t.data[11] != ':')
        return;
    struct tm tm = {.tm_mday = digits(t.data, 2),
                    .tm_mon = month_of(t.data + 3),
                    .tm_year = digits(t.data + 7, 4),
                    .tm_hour = digits(t.data + 12, 2),
                    .tm_min = digits(t.data + 15, 2),
                    .tm_sec = digits(t.data + 18, 2)};
    int zone_h = digits(t.data + 22, 2), zone_m = digits(t.data + 24, 2);
    if (tm.tm_mday < 1 || tm.tm_mon < 0 || tm.tm_year < 1970 || tm.tm_hour < 0 || tm.tm_min < 0 ||
        tm.tm_sec < 0 || zone_h < 0 || zone_m < 0)
        return;
    tm.tm_year -= 1900;
    int64_t east_s = (zone_h * 60 + zone_m) * 60 * (t.data[21] == '-' ? -1 : 1);
    ret->time_s = (int64_t)timegm(&tm) - east_s;
    ret->has_time = true;
}

/* ---- the request ---- */

static void take_request(struct text request, struct log_line *ret)
{
    ret->method = ret->target = (struct text){request.data, 0};
    if (!text_cut(&request, ' ', &ret->method))
        return;
    const char *blank = memrchr(request.data, ' ', request.len);
    size_t tail = blank ? (size_t)(request.data + request.len - blank) - 1 : 0;
    if (tail >= 5 && memcmp(blank + 1, "HTTP/", 5) == 0)
        request.len -= tail + 1;
    ret->target = request;
}

static bool take_answer(struct text rest, struct log_line *ret)
{
    uint64_t status;
    if (rest.len == 0 || rest.data[0] != ' ')
        return false;
    rest.data++;
    rest.len--;
    if (!take_number(&rest, &status) || status < 100 || status > 999)
        return false;
    ret->status = (unsigned)status;
    ret->bytes = 0;
    ret->has_bytes = take_number(&rest, &ret->bytes);
    return ret->has_bytes ||
           (rest.len && rest.data[0] == '-' && (rest.len == 1 || rest.data[1] == ' '));
}

enum log_verdict log_line_parse(struct text line, struct log_line *ret)
{
    struct text time, request;
    const char *begin = line.data;
    if (line.len && line.data[line.len - 1] == '\r')
        line.len--;
    if (!take_head(&line, &time) || !take_quoted(&line, &request) || !take_answer(line, ret))
        return LOG_GARBAGE;
    ret->site = site_of((struct text){begin, (size_t)(time.data - 1 - begin)});
    take_time(time, ret);
    take_request(request, ret);
    if (!text_is(ret->method, "GET") || ret->target.len == 0)
        return LOG_OTHER;
    return ret->status == 200 || ret->status == 304 ? LOG_REQUEST : LOG_OTHER;
}
