// SPDX-License-Identifier: MIT
// Any bytes as a recording (trace.file): refused with a reason, or requests whose keys are
// numbered, whose sizes are known and whose times never go back; what happens to keys between them
// stands in the order of the requests.

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "input/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct input *in)
{
    if (in->trace.count == 0 || in->rate <= 0 || in->rate > 1 ||
        !(input_expected(in) > 0) || (in->reads && in->reads < in->trace.count))
        abort();
    for (size_t i = 0; i < in->trace.count; i++)
        if (in->trace.requests[i].key >= in->trace.unique ||
            in->trace.requests[i].size == UINT32_MAX ||
            (i && in->trace.at_us[i] < in->trace.at_us[i - 1]))
            abort();
    const struct trace *t = &in->trace;
    for (size_t i = 0; i < t->change_count; i++)
        if (t->changes[i].key >= t->unique || t->changes[i].before > t->count ||
            (i && t->changes[i].before < t->changes[i - 1].before) ||
            (t->changes[i].kind == CHANGE_PUT && t->changes[i].size == UINT32_MAX))
            abort();
    if (in->has_lives != (t->lives != NULL) || !t->brings)
        abort();
    simulate_lru_bytes(t, 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in;
    char path[64];
    int fd = memfd_create("recording", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    char *why = input_read(&in, INPUT_TRACE, path);
    if (!why)
        check(&in);
    free(why);
    input_free(&in);
    close(fd);
    return 0;
}
