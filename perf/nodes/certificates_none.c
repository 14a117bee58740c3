// SPDX-License-Identifier: MIT
/*
 * Certificates of a run, where there is no OpenSSL: none.
 */
#include "nodes/servers.h"
#include "support/fail.h"

const char *certificates_missing(void)
{
    return "built without OpenSSL (libssl-dev)";
}

void certificates_begin(const char *folder)
{
    fail("%s: no certificates: %s", folder, certificates_missing());
}

void certificates_sign(const char *folder, long seconds)
{
    fail("%s: no certificate for %ld s: %s", folder, seconds, certificates_missing());
}
