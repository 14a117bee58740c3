// SPDX-License-Identifier: MIT
// In a build without OpenSSL, TLS is refused when it is asked for.

#include "l2/tls.h"

int tls_create(const struct tls_config *config, struct tls **ret_tls)
{
    (void)ret_tls;
    return error_note(NIGH_EURI, "%s needs TLS, which this build does not have (it was built "
                                 "without OpenSSL)",
                      config->of_sentinels ? "redis.sentinel_tls=on"
                                           : "redis.uri: rediss:// or rediss+sentinel://");
}

void tls_destroy(struct tls *tls)
{
    (void)tls;
}

const struct stream_kind *tls_kind(struct tls *tls)
{
    (void)tls;
    return NULL;
}

uint64_t tls_keep(struct tls *tls)
{
    (void)tls;
    return CLOCK_NEVER_NS;
}

void tls_problem_read(struct tls *tls, struct l2_problem *ret)
{
    (void)tls, (void)ret;
}
