// SPDX-License-Identifier: MIT
/*
 * `none`: no entry has to go. A value that does not fit is refused (NIGH_EFULL where a caller puts
 * it).
 *
 * For data that is put once and must stay, such as a table that fits: then a cap reached is an
 * error to hear of, not a lower hit ratio to find out about. Expiry and invalidation make room.
 */
#include "l1/policy.h"

const struct l1_policy policy_none = {.name = "none"};
