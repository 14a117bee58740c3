// SPDX-License-Identifier: MIT
// The square root is right to nine digits, of what is large and of what is small.

#include "base/root.h"
#include "support/check.h"

TEST(a_root_is_right_to_nine_digits)
{
    for (double right = 1e-12; right < 1e12; right *= 3) {
        double root = root_of(right * right);
        if (!CHECK(root >= right * (1 - 1e-9) && root <= right * (1 + 1e-9)))
            check_note("%g, not %g", root, right);
    }
    CHECK(root_of(0) < 1e-20);
    CHECK(root_of(1) <= 1 && root_of(1) >= 1);
}
