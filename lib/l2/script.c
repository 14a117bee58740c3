// SPDX-License-Identifier: MIT
// The scripts of the protocol (COHERENCE rules 5, 6, 9, 15). Each runs atomically in Redis.
//
// Every script answers {replid, id, seq, time_ms, verdict, more...}: who the server is and where
// its clock stands, in the same atomic step as what was asked. id and seq travel as the 8 raw
// bytes of the clock, '' when there is no clock, so nothing passes through Lua's doubles on its
// way out.
//
// Numbers: seq is counted in a double (exact below 2^53: 285 years at a million changes a
// second). User versions use all 64 bits and are compared in two halves; Lua's own `<` on strings
// obeys the server's locale.
//
// Full memory: Redis refuses a script's first write if it may need memory, and lets the rest pass
// once a script has written. So those that must run then begin with a DEL. LEASE begins with SET
// on purpose: a loader that could not fill learns it before it loads.
//
// A key of a foreign type answers pcall with an error, read as "nothing there"; SET and DEL then
// replace it.

#include "l2/script.h"

/* verdicts: enum l2_verdict */
#define VERDICTS "local NONE, VALUE, GRANTED, HELD, STORED, REFUSED = 0, 1, 2, 3, 4, 5\n"

#define COMMON                                                                                     \
    VERDICTS                                                                                       \
    "local ZERO = string.rep('\\0', 8)\n"                                                          \
    "local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')\n"      \
    "local time = redis.call('TIME')\n"                                                            \
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"                                    \
    "local function bytes(key, from, to)\n"                                                        \
    "  local s = redis.pcall('GETRANGE', key, from, to)\n"                                         \
    "  return type(s) == 'string' and s or ''\n"                                                   \
    "end\n"                                                                                        \
    "local function answer(clk, verdict, more)\n"                                                  \
    "  local h = bytes(clk, 0, 15)\n"                                                              \
    "  return {replid, string.sub(h, 1, 8), string.sub(h, 9, 16), now, verdict, more}\n"           \
    "end\n"

/* The fields of a stored envelope that scripts look at; '' of what is not one. */
#define ENVELOPE                                                                                   \
    "local function field(key, at)\n"                                                              \
    "  local h = bytes(key, 0, 87)\n"                                                              \
    "  if #h < 88 or string.sub(h, 1, 5) ~= 'NIGH\\1' then return '' end\n"                        \
    "  return string.sub(h, at + 1, at + 8)\n"                                                     \
    "end\n"                                                                                        \
    "local function fill_id(key) return field(key, 32) end\n"                                      \
    "local function version(key)\n"                                                                \
    "  local v = field(key, 40)\n"                                                                 \
    "  return v == '' and ZERO or v\n"                                                             \
    "end\n"                                                                                        \
    "local function above(a, b)\n"                                                                 \
    "  local al, ah = struct.unpack('<I4I4', a)\n"                                                 \
    "  local bl, bh = struct.unpack('<I4I4', b)\n"                                                 \
    "  return ah > bh or (ah == bh and al > bl)\n"                                                 \
    "end\n"

/* Wake who waits for the lease that `held` was: they ask again. */
#define WAKE                                                                                       \
    "local function wake(a, held, channel, head, tail)\n"                                          \
    "  if string.sub(held, 9, 9) ~= '\\1' then return end\n"                                       \
    "  local id = a[2] == '' and ZERO or a[2]\n"                                                   \
    "  redis.call('PUBLISH', channel, head .. replid .. id .. ZERO .. tail)\n"                     \
    "end\n"

/* The clock is there and whole, or is made anew: then what the log holds belongs to another one.
 * That of nodes with another number of groups is left alone: two kinds of nodes that each made it
 * anew would take it from each other for ever. They see its length, and stay in doubt. */
#define CLOCK                                                                                      \
    "local function foreign(clk, len)\n"                                                           \
    "  local n = redis.pcall('STRLEN', clk)\n"                                                     \
    "  if type(n) ~= 'number' or n == len then return false end\n"                                 \
    "  local slots = (n - 16) / 16\n"                                                              \
    "  return slots >= 2048 and slots <= 65536 and math.frexp(slots) == 0.5\n"                     \
    "end\n"                                                                                        \
    "local function ensure(clk, log, len, new_id)\n"                                               \
    "  if redis.pcall('STRLEN', clk) == len or foreign(clk, len) then return end\n"                \
    "  redis.call('DEL', clk, log)\n"                                                              \
    "  redis.call('SETRANGE', clk, len - 1, '\\0')\n"                                              \
    "  redis.call('SETRANGE', clk, 0, new_id)\n"                                                   \
    "end\n"

/* KEYS data lease clk   ARGV token rejected ms
 * A lease without a TTL is none of ours: nobody would ever give it back. */
static const char lease_text[] =
    COMMON ENVELOPE
    "local data, lease, clk = KEYS[1], KEYS[2], KEYS[3]\n"
    "local token, rejected, ms = ARGV[1], ARGV[2], ARGV[3]\n"
    "local id = fill_id(data)\n"
    "if id ~= '' and id ~= ZERO and id ~= rejected then\n"
    "  return answer(clk, VALUE, redis.call('GET', data))\n"
    "end\n"
    "if redis.call('SET', lease, token .. '\\0', 'PX', ms, 'NX') then\n"
    "  return answer(clk, GRANTED)\n"
    "end\n"
    "local left = redis.call('PTTL', lease)\n"
    "if left < 0 then\n"
    "  redis.call('SET', lease, token .. '\\0', 'PX', ms)\n"
    "  return answer(clk, GRANTED)\n"
    "end\n"
    "if bytes(lease, 0, 7) == token then return answer(clk, GRANTED) end\n"
    "redis.pcall('SETRANGE', lease, 8, '\\1')\n"
    "return answer(clk, HELD, left)\n";

/* KEYS lease clk   ARGV token ms. Who waited for the old lease is woken by the writer's frame. */
static const char override_text[] =
    COMMON
    "redis.call('DEL', KEYS[1])\n"
    "redis.call('SET', KEYS[1], ARGV[1] .. '\\0', 'PX', ARGV[2])\n"
    "return answer(KEYS[2], GRANTED)\n";

/* KEYS lease clk   ARGV token ms */
static const char extend_text[] =
    COMMON
    "if bytes(KEYS[1], 0, 7) ~= ARGV[1] then return answer(KEYS[2], REFUSED) end\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "return answer(KEYS[2], STORED)\n";

/* KEYS lease clk   ARGV token channel head tail */
static const char release_text[] =
    COMMON WAKE
    "local held = bytes(KEYS[1], 0, 8)\n"
    "local a = answer(KEYS[2], NONE)\n"
    "if string.sub(held, 1, 8) ~= ARGV[1] then return a end\n"
    "redis.call('DEL', KEYS[1])\n"
    "wake(a, held, ARGV[2], ARGV[3], ARGV[4])\n"
    "return a\n";

/* KEYS data lease clk   ARGV token version ms envelope channel head tail
 * The lease goes first: that is the DEL that lets the SET pass when memory is full. A refused
 * fill publishes too: whoever waits had better look at what is there. */
static const char fill_text[] =
    COMMON ENVELOPE WAKE
    "local data, lease, clk = KEYS[1], KEYS[2], KEYS[3]\n"
    "local held = bytes(lease, 0, 8)\n"
    "if string.sub(held, 1, 8) ~= ARGV[1] then return answer(clk, REFUSED) end\n"
    "redis.call('DEL', lease)\n"
    "local verdict = REFUSED\n"
    "if ARGV[2] == ZERO or not above(version(data), ARGV[2]) then\n"
    "  redis.call('SET', data, ARGV[4], 'PX', ARGV[3])\n"
    "  verdict = STORED\n"
    "end\n"
    "local a = answer(clk, verdict)\n"
    "wake(a, held, ARGV[5], ARGV[6], ARGV[7])\n"
    "return a\n";

/* KEYS clk log nil, then per key: data lease
 * ARGV channel head tail new_id clk_len keys, then per key: mode version token ms envelope,
 *      then per group: offset in clk
 * modes: enum l2_change_mode. Everything is read and judged before anything is written. */
static const char change_text[] =
    COMMON ENVELOPE CLOCK
    "local clk, log = KEYS[1], KEYS[2]\n"
    "if foreign(clk, tonumber(ARGV[5])) then\n"
    "  return redis.error_reply('GROUPS another number of group slots')\n"
    "end\n"
    "local DELETE, TOKEN, NEWER = '0', '1', '2'\n"
    "local keys = tonumber(ARGV[6])\n"
    "local gone, sets, verdict = {KEYS[3]}, {}, NONE\n"
    "for i = 1, keys do\n"
    "  local data, lease = KEYS[2 + 2 * i], KEYS[3 + 2 * i]\n"
    "  local a = 2 + 5 * i\n"
    "  local mode, v, token = ARGV[a], ARGV[a + 1], ARGV[a + 2]\n"
    "  local set, del, skip = mode ~= DELETE, mode == DELETE, false\n"
    "  if mode == DELETE then\n"
    "    if v ~= ZERO then\n"
    "      local stored = version(data)\n"
    "      del = stored == ZERO or above(v, stored)\n"
    "    end\n"
    "  elseif mode == TOKEN then\n"
    "    set = bytes(lease, 0, 7) == token\n"
    "    del = not set\n"
    "  elseif mode == NEWER then\n"
    "    local stored = version(data)\n"
    "    if stored ~= ZERO and not above(v, stored) then\n"
    "      if i == 1 then return answer(clk, REFUSED) end\n"
    "      set, skip = false, true\n"
    "    end\n"
    "  end\n"
    "  if not skip then gone[#gone + 1] = lease end\n"
    "  if del then gone[#gone + 1] = data end\n"
    "  if set then sets[#sets + 1] = {data, ARGV[a + 4], ARGV[a + 3]} end\n"
    "  if set and i == 1 then verdict = STORED end\n"
    "end\n"
    "for i = 1, #gone, 4000 do\n"
    "  redis.call('DEL', unpack(gone, i, math.min(i + 3999, #gone)))\n"
    "end\n"
    "for _, s in ipairs(sets) do redis.call('SET', s[1], s[2], 'PX', s[3]) end\n"
    "ensure(clk, log, tonumber(ARGV[5]), ARGV[4])\n"
    "local seq = struct.unpack('<I8', redis.call('GETRANGE', clk, 8, 15)) + 1\n"
    "local packed = struct.pack('<I8', seq)\n"
    "redis.call('SETRANGE', clk, 8, packed)\n"
    "for i = 7 + 5 * keys, #ARGV do redis.call('SETRANGE', clk, ARGV[i], packed) end\n"
    "local id = redis.call('GETRANGE', clk, 0, 7)\n"
    "local frame = ARGV[2] .. replid .. id .. packed .. ARGV[3]\n"
    "local entry = {'XADD', log, 'MAXLEN', '~', " SCRIPT_LOG_MAX
    ", string.format('%.0f-0', seq), 'f', frame}\n"
    "local added = redis.pcall(unpack(entry))\n"
    "if type(added) == 'table' and added.err then\n"
    "  redis.call('DEL', log)\n"
    "  redis.call(unpack(entry))\n"
    "end\n"
    "redis.call('PUBLISH', ARGV[1], frame)\n"
    "return answer(clk, verdict)\n";

/* KEYS clk log nil   ARGV new_id clk_len after limit bytes
 * Stops at `bytes`: a beat that cannot bring everything is not dense, and leads to a resync. */
static const char beat_text[] =
    COMMON CLOCK
    "local clk, log = KEYS[1], KEYS[2]\n"
    "redis.call('DEL', KEYS[3])\n"
    "ensure(clk, log, tonumber(ARGV[2]), ARGV[1])\n"
    "local flat, left = {}, tonumber(ARGV[5])\n"
    "local entries = redis.pcall('XRANGE', log, '(' .. ARGV[3] .. '-0', '+', 'COUNT', ARGV[4])\n"
    "for _, e in ipairs(entries) do\n"
    "  local frame = e[2][2]\n"
    "  left = left - #frame\n"
    "  if left < 0 then break end\n"
    "  flat[#flat + 1] = string.match(e[1], '^%d+')\n"
    "  flat[#flat + 1] = frame\n"
    "end\n"
    "return answer(clk, NONE, flat)\n";

/* KEYS clk log nil   ARGV new_id clk_len */
static const char resync_text[] =
    COMMON CLOCK
    "redis.call('DEL', KEYS[3])\n"
    "ensure(KEYS[1], KEYS[2], tonumber(ARGV[2]), ARGV[1])\n"
    "return answer(KEYS[1], VALUE, redis.call('GET', KEYS[1]))\n";

static const struct bytes texts[SCRIPT_COUNT] = {
    [SCRIPT_LEASE] = {lease_text, sizeof(lease_text) - 1},
    [SCRIPT_OVERRIDE] = {override_text, sizeof(override_text) - 1},
    [SCRIPT_EXTEND] = {extend_text, sizeof(extend_text) - 1},
    [SCRIPT_RELEASE] = {release_text, sizeof(release_text) - 1},
    [SCRIPT_FILL] = {fill_text, sizeof(fill_text) - 1},
    [SCRIPT_CHANGE] = {change_text, sizeof(change_text) - 1},
    [SCRIPT_BEAT] = {beat_text, sizeof(beat_text) - 1},
    [SCRIPT_RESYNC] = {resync_text, sizeof(resync_text) - 1},
};

void scripts_init(struct script scripts[SCRIPT_COUNT])
{
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        scripts[i].text = texts[i];
        sha1_hex(texts[i].data, texts[i].len, scripts[i].sha1);
    }
}
