// SPDX-License-Identifier: MIT
// The same program in C++, by the calls of C and once more by nigh.hpp: what it shows is that the
// headers serve C++ and its linkage.

#include <cstdio>
#include <nigh/nigh.hpp>
#include <string_view>

static int load(void *arg, struct nigh_fill *const fills[], size_t)
{
    ++*static_cast<int *>(arg);
    return nigh_fill_value(fills[0], "Ada", 3);
}

static int use_classes()
{
    int loads = 0;
    nighpp::cache cache("l1.memory=16MiB");
    nighpp::space users = cache.open("users", [&](nighpp::fill fill) {
        return ++loads, fill.value("Ada");
    });
    for (int i = 0; i < 2; i++)
        if (users.fetch("ada").bytes() != "Ada")
            return NIGH_EINVAL;
    return loads == 1 ? 0 : NIGH_EINVAL;
}

int main()
{
    nigh_options options = NIGH_OPTIONS_INIT;
    nigh *cache = nullptr;
    nigh_space *users = nullptr;
    int loads = 0, status = nigh_options_set(&options, "l1.memory", "16MiB");
    if (status == 0)
        status = nigh_open(&options, &cache);
    if (status < 0) {
        std::fprintf(stderr, "nigh_open: %s (%s)\n", nigh_strerror(status), nigh_options_error());
        return 1;
    }
    status = nigh_space_open(cache, "users", nullptr, load, nullptr, &loads, &users);
    for (int i = 0; i < 2 && status == 0; i++) {
        nigh_value value = NIGH_VALUE_INIT;
        status = nigh_fetch(users, "ada", 3, nullptr, &value);
        if (std::string_view(static_cast<const char *>(value.data), value.len) != "Ada")
            status = NIGH_EINVAL;
        nigh_release(&value);
    }
    nigh_close(cache);
    if (status == 0)
        status = use_classes();
    std::printf("%s after %d load(s)\n", nigh_result_name(status), loads);
    return status != 0 || loads != 1;
}
