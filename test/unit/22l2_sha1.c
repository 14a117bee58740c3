// SPDX-License-Identifier: MIT
// SHA-1 against the vectors of FIPS 180 and the lengths at which padding changes.

#include "l2/sha1.h"

#include <string.h>

#include "support/check.h"

static void check_digest(const char *text, const char *expected)
{
    char hex[SHA1_HEX_BYTES + 1];
    sha1_hex(text, strlen(text), hex);
    CHECK_STR(hex, expected);
}

TEST(known_digests)
{
    check_digest("", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_digest("abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                 "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

TEST(padding_at_the_edge_of_a_block)
{
    char a[65];
    memset(a, 'a', sizeof(a));
    a[55] = '\0';
    check_digest(a, "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    a[55] = 'a';
    a[56] = '\0';
    check_digest(a, "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    a[56] = 'a';
    a[64] = '\0';
    check_digest(a, "0098ba824b5c16427bd7a1122a5a442a25ec644d");
}
