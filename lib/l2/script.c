// SPDX-License-Identifier: MIT
// The scripts of the protocol (rules 5, 6, 9 and 15 to 18). Each runs atomically in Redis.
//
// Their texts are in scripts/, one .lua file each, with keys and arguments; cmake/scripts.cmake
// makes C strings of them. This file makes sure that both languages mean the same numbers.

#include "l2/script.h"

#include "l2/l2.h"
#include "l2/script_texts.h"

#define AGREE(name) _Static_assert(LUA_##name == L2_##name, #name " differs between Lua and C")

/* enum l2_verdict, in common.lua */
AGREE(NONE);
AGREE(VALUE);
AGREE(GRANTED);
AGREE(HELD);
AGREE(STORED);
AGREE(REFUSED);
AGREE(MOVED);
AGREE(CROWDED);

/* enum l2_change_mode, in change.lua */
AGREE(DELETE);
AGREE(SET_TOKEN);
AGREE(SET_NEWER);
AGREE(SET);
AGREE(REPLACE);

_Static_assert(LUA_FILL_ID_AT == L2_ENVELOPE_FILL_ID_AT, "envelope.lua");
_Static_assert(LUA_VERSION_AT == L2_ENVELOPE_VERSION_AT, "envelope.lua");
_Static_assert(LUA_SLOTS_MIN == GROUP_SLOTS_MIN, "clock.lua");
_Static_assert(LUA_SLOTS_MAX == GROUP_SLOTS_MAX, "clock.lua");
_Static_assert(LUA_LOG_MAX == SCRIPT_LOG_MAX, "clock.lua");
_Static_assert(LUA_PAGES == L2_PAGES, "clock.lua");
_Static_assert(LUA_PAGES_AT == SCRIPT_PAGES_AT, "clock.lua");
_Static_assert(LUA_GROUPS_AT == SCRIPT_GROUPS_AT, "clock.lua");
_Static_assert(LUA_DEL_MAX == SCRIPT_DEL_MAX, "change.lua");
_Static_assert(LUA_TOLD_BYTES == SCRIPT_TOLD_BYTES, "common.lua");
_Static_assert(sizeof(lease_sha1) == SCRIPT_SHA1_BYTES + 1, "the digest is not a SHA-1");

#define SCRIPT(name, file, work)                                                                   \
    [SCRIPT_##name] = {{file##_text, sizeof(file##_text) - 1}, file##_sha1, L2_##work},

const struct script script_table[SCRIPT_COUNT] = {SCRIPTS(SCRIPT)};

const struct bytes script_needs = {needs_text, sizeof(needs_text) - 1};
