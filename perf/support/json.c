// SPDX-License-Identifier: MIT
/*
 * The library's own writer of JSON, into a file.
 */
#include "support/json.h"

#include "base/text.h"
#include "support/fail.h"

void json_text(FILE *out, const char *text)
{
    struct text counted = text_into(NULL, 0);
    text_add_json(&counted, bytes_of_string(text));
    char *all = must_alloc(counted.needed + 1, 1);
    struct text w = text_into(all, counted.needed + 1);
    text_add_json(&w, bytes_of_string(text));
    fputs(all, out);
    free(all);
}
