// SPDX-License-Identifier: MIT
// Any text as a Redis URI: accepted with fields that are whole, or refused with a reason.

#include <stdlib.h>
#include <string.h>

#include "l2/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct uri uri;
    char *text = malloc(len + 1);
    if (!text)
        return 0;
    memcpy(text, data, len);
    text[len] = '\0';
    const char *wrong = uri_parse(text, &uri);
    if (wrong ? !*wrong
              : !memchr(uri.place, 0, sizeof(uri.place)) || !uri.place[0] ||
                    !memchr(uri.user, 0, sizeof(uri.user)) ||
                    !memchr(uri.password, 0, sizeof(uri.password)) || uri.db > URI_DB_MAX)
        abort();
    free(text);
    return 0;
}
