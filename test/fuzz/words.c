// SPDX-License-Identifier: MIT
// Any bytes as a line of the control socket: refused with a reason, or words that lie within the
// line, in order, none over another, each with its NUL.

#include <stdlib.h>
#include <string.h>

#include "control/control.h"

#define MANY 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const char *line, size_t len, const struct bytes *words, uint32_t count)
{
    const char *at = line;
    for (uint32_t i = 0; i < count; i++) {
        const char *word = words[i].data;
        if (word < at || word + words[i].len > line + len || word[words[i].len] != '\0')
            abort();
        at = word + words[i].len + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes words[MANY];
    uint32_t count = 0;
    char *line = malloc(len + 1); /* exactly what is promised: a byte behind the line */
    if (!line)
        return 0;
    if (len > 0)
        memcpy(line, data, len);
    line[len] = '\n';
    const char *wrong = control_words(line, len, words, MANY, &count);
    if (wrong ? !*wrong : count > MANY)
        abort();
    if (!wrong)
        check(line, len, words, count);
    free(line);
    return 0;
}
