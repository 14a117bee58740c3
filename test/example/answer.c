// SPDX-License-Identifier: MIT
/*
 * From an outcome of nigh to an answer of HTTP.
 */
#include "answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

static void add_header(struct answer *a, const char *name, const char *value)
{
    a->headers[a->header_count++] = (struct answer_header){name, value};
}

__attribute__((format(printf, 3, 4))) static void print_header(struct answer *a, const char *name,
                                                               const char *format, ...)
{
    char *text = a->text + a->text_len;
    size_t room = sizeof(a->text) - a->text_len;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, room, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= room)
        return; /* numbers only: there is room for all of them */
    a->text_len += (size_t)len + 1;
    add_header(a, name, text);
}

void answer_status(int status, struct answer *ret_answer)
{
    *ret_answer = (struct answer){.status = status, .body = ""};
    if (status == 503)
        add_header(ret_answer, "Retry-After", "1");
    if (status == 405)
        add_header(ret_answer, "Allow", "GET, HEAD, POST");
}

static int status_of_error(int error)
{
    switch (error) {
    case NIGH_EKEY: return 400;
    case NIGH_ELOADER: return 502; /* the database failed, and nothing stale was left */
    case NIGH_ETIMEDOUT:
    case NIGH_EBUSY: return 503;
    default: return 500;
    }
}

static const char *tier_name(enum nigh_tier tier)
{
    switch (tier) {
    case NIGH_TIER_L1: return "hit; detail=L1";
    case NIGH_TIER_L2: return "hit; detail=L2";
    default: return "fwd=miss; stored";
    }
}

static void describe(struct answer *a, struct nigh *cache, int outcome,
                     const struct nigh_value *value)
{
    long long age_s = (long long)(nigh_value_age_ms(cache, value) / 1000);
    long long left_s = (long long)(nigh_value_fresh_ms(cache, value) / 1000);
    if (outcome == NIGH_STALE || left_s < 0)
        left_s = 0; /* whoever has it asks again; a worker of nigh brings a new one meanwhile */
    print_header(a, "Cache-Control", "max-age=%lld", age_s + left_s);
    print_header(a, "Age", "%lld", age_s);
    print_header(a, "Cache-Status", "nigh; %s; ttl=%lld", tier_name(nigh_value_tier(value)),
                 left_s);
}

void answer_read(struct nigh *cache, int outcome, const struct nigh_value *value,
                 const char *if_none_match, struct answer *ret_answer)
{
    struct answer *a = ret_answer;
    if (outcome != NIGH_FRESH && outcome != NIGH_STALE) {
        answer_status(outcome == NIGH_ABSENT ? 404 : status_of_error(outcome), a);
        return;
    }
    struct page page;
    if (page_of(value, &page) != 0) {
        answer_status(500, a);
        return;
    }
    answer_status(200, a);
    print_header(a, "ETag", "\"%llu\"", (unsigned long long)nigh_value_version(value));
    const char *etag = a->headers[0].value;
    describe(a, cache, outcome, value);
    add_header(a, "Surrogate-Key", page.names);
    if (if_none_match && strstr(if_none_match, etag))
        a->status = 304;
    add_header(a, "Content-Type", "text/html; charset=utf-8");
    a->body = page.body;
    a->body_len = page.body_len;
}

void answer_update(struct nigh *cache, const char *database, const char *name, size_t name_len,
                   const char *summary, size_t summary_len, struct answer *ret_answer)
{
    long long revision = pages_update(database, name, name_len, summary, summary_len);
    if (revision <= 0) {
        answer_status(revision == 0 ? 404 : 503, ret_answer);
        return;
    }
    /* Only after the commit: a load that begins from now on sees it. All pages that show the
     * package have its name as a tag. */
    struct nigh_target target = {.kind = NIGH_TARGET_TAG, .name = name, .name_len = name_len};
    int rc = nigh_invalidate_many(cache, &target, 1, NULL);
    answer_status(rc == 0 ? 204 : rc == NIGH_QUEUED ? 202 : 500, ret_answer);
    print_header(ret_answer, "ETag", "\"%lld\"", revision);
}

void answer_stats(struct nigh *cache, struct answer *ret_answer, char **ret_body)
{
    long len = nigh_stats(cache, NIGH_STATS_JSON, NULL, 0);
    size_t size = len > 0 ? (size_t)len + 4096 : 1; /* numbers grow meanwhile */
    char *body = malloc(size);
    len = body ? nigh_stats(cache, NIGH_STATS_JSON, body, size) : 0;
    answer_status(len > 0 && (size_t)len < size ? 200 : 500, ret_answer);
    if (ret_answer->status == 200) {
        add_header(ret_answer, "Content-Type", "application/json");
        ret_answer->body = body;
        ret_answer->body_len = (size_t)len;
    }
    *ret_body = body;
}
