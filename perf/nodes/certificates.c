// SPDX-License-Identifier: MIT
/*
 * Certificates of a run, made by what the tests make theirs with.
 */
#include "nodes/servers.h"
#include "support/certs.h" /* that of the tests */

const char *certificates_missing(void)
{
    return NULL;
}

void certificates_begin(const char *folder)
{
    certs_add(folder, "ca", &(struct cert){.self_signed = true, .is_ca = true, .until_s = 86400});
}

void certificates_sign(const char *folder, long seconds)
{
    certs_add(folder, "server", &(struct cert){.until_s = seconds});
}
