#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hears what nodes of nigh invalidate, and prints it: a line for each thing.

Usage: listen.py SOCKET|HOST:PORT [PREFIX [DB]]

It is no node: it keeps nothing, so it may miss a frame, and then says so. To invalidate, run the
program nigh (`nigh invalidate --redis URI --space S KEY`): a change is a script in Redis, not a
message.
"""
import socket
import struct
import sys

KINDS = {1: "key", 2: "tag", 3: "space", 4: "all", 5: "fill"}


def connect(place):
    if "/" in place:
        s = socket.socket(socket.AF_UNIX)
        s.connect(place)
    else:
        host, port = place.rsplit(":", 1)
        s = socket.create_connection((host, int(port)))
    return s.makefile("rwb")


def reply(stream):
    """One reply of Redis' protocol (RESP2), as far as a subscriber gets any."""
    line = stream.readline().rstrip(b"\r\n")
    kind, rest = line[:1], line[1:]
    if kind == b"*":
        return [reply(stream) for _ in range(int(rest))]
    if kind == b"$":
        return stream.read(int(rest) + 2)[:-2]
    if kind == b"-" or not kind:
        sys.exit("redis: " + (rest.decode() or "closed"))
    return rest


def items(frame):
    """(clock, position, node, [(kind, soft, space, name)]); None: no frame of wire version 2."""
    if len(frame) < 96 or frame[:4] != b"nf\x02\0":
        return None
    sequence, _, _, node, _, count = struct.unpack_from("<QQQQQI", frame, 52)
    found, at = [], 96
    for _ in range(count):
        kind, soft, space_len, _, length, _ = struct.unpack_from("<BBBBIQ", frame, at)
        space = frame[at + 16 : at + 16 + space_len]
        name = frame[at + 16 + space_len : at + 16 + space_len + length]
        found.append((KINDS.get(kind, "?"), soft & 1, space, name))
        at += 16 + space_len + length
    return (frame[4:52], sequence, node, found) if at == len(frame) else None


def main(place, prefix="nigh", db="0"):
    stream = connect(place)
    channel = f"{prefix}:!2:!inv:{db}".encode()
    stream.write(b"*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%s\r\n" % (len(channel), channel))
    stream.flush()
    last = None
    while True:
        message = reply(stream)
        try:
            frame = items(message[2]) if message[0] == b"message" else None
        except struct.error:  # somebody else's
            continue
        if not frame:
            continue
        clock, sequence, node, found = frame
        if last and sequence and (clock != last[0] or sequence > last[1] + 1):
            print("missed some: anything may have changed", flush=True)
        last = (clock, sequence) if sequence else last  # 0: a fill, which changes nothing
        for kind, soft, space, name in found:
            print(sequence, f"node {node >> 48:04x}", "soft " * soft + kind,
                  space.decode(errors="replace"), repr(name), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
