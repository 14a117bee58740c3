// SPDX-License-Identifier: MIT
// A program outside the tree, in C: open, load once, hit, invalidate, close. No Redis.

#include <nigh/nigh.h>
#include <stdio.h>
#include <string.h>

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    (void)n;
    ++*(int *)arg;
    return nigh_fill_value(fills[0], "Ada", 3);
}

int main(void)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    struct nigh_space *users;
    int loads = 0, status = nigh_options_set(&options, "l1.memory", "16MiB");
    if (status == 0)
        status = nigh_open(&options, &cache);
    if (status < 0) {
        fprintf(stderr, "nigh_open: %s (%s)\n", nigh_strerror(status), nigh_options_error());
        return 1;
    }
    status = nigh_space_open(cache, "users", NULL, load, NULL, &loads, &users);
    for (int i = 0; i < 2 && status == 0; i++) {
        struct nigh_value value = NIGH_VALUE_INIT;
        status = nigh_fetch(users, "ada", 3, NULL, &value);
        if (value.len != 3 || memcmp(value.data, "Ada", 3) != 0)
            status = NIGH_EINVAL;
        nigh_release(&value);
    }
    if (status == 0)
        status = nigh_invalidate(users, "ada", 3, NULL);
    nigh_close(cache);
    printf("%s after %d load(s)\n", nigh_result_name(status), loads);
    return status != 0 || loads != 1;
}
