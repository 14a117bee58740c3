// SPDX-License-Identifier: MIT
// Any bytes as what a process answers, before a zero byte and behind it: `stats json`, `hot json`.
// The program nigh reads all of it that it would show; every table it makes of it ends, and fits.

#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

#define COLUMNS 80
#define NAMES 8

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len);

static void ask_space(const struct json *before, const struct json *now, const char *space)
{
    double ns = json_quantile_since(before, now, space, "latency_l1", 0.99);
    if (ns < 0 || json_quantile_since(now, now, space, "latency_l1", 0.99) > 0)
        abort();
    json_number(now, "spaces", space, "l1_fresh");
}

static void check_width(char *text)
{
    for (const char *at = text; at && *at; at += strcspn(at, "\n") + 1)
        if (strcspn(at, "\n") > 4 * COLUMNS)
            abort();
    free(text);
}

static void show(struct json *const of[2])
{
    const char *name;
    for (size_t i = 0; i < NAMES && (name = json_name(of[1], "spaces", i)); i++) {
        ask_space(of[0], of[1], name);
        check_width(hot_table(of, 2, name, COLUMNS, 5));
    }
    check_width(hot_groups(of, 2, COLUMNS));
    json_string(of[1], "redis_problem", NULL, NULL);
    json_element(of[1], "schemas", 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
    char *text = malloc(len + 1);
    if (!text)
        return 0;
    memcpy(text, data, len);
    text[len] = '\0';
    size_t first = strlen(text);
    struct json *of[2] = {json_read(text), json_read(first < len ? text + first + 1 : text)};
    if (of[0] && of[1])
        show(of);
    json_free(of[0]);
    json_free(of[1]);
    free(text);
    return 0;
}
