// SPDX-License-Identifier: MIT
// Any bytes as a line of an access log: garbage, or a request whose parts lie inside the line.

#include <stdlib.h>

#include "input/log_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool is_inside(struct text part, const char *line, size_t len)
{
    return part.data >= line && part.data + part.len <= line + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    struct log_line line;
    enum log_verdict verdict = log_line_parse((struct text){text, len}, &line);
    if (verdict == LOG_GARBAGE)
        return 0;
    if (!is_inside(line.site, text, len) || !is_inside(line.method, text, len) ||
        !is_inside(line.target, text, len) || line.status < 100 || line.status > 999)
        abort();
    if (verdict == LOG_REQUEST && (!text_is(line.method, "GET") || line.target.len == 0 ||
                                   (line.status != 200 && line.status != 304)))
        abort();
    return 0;
}
