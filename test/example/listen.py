#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hears what nodes of nigh invalidate, and prints it: a line for each thing.

Usage: listen.py SOCKET|HOST:PORT [PREFIX [DB]]      with LISTEN_LOGIN="USER PASSWORD" if need be

It is no node: it keeps nothing, so it may miss a frame, and then says so. To invalidate, run the
program nigh (`nigh invalidate --redis URI --space S KEY`): a change is a script in Redis, not a
message. The user needs no more rights than +subscribe and '&PREFIX:!2:!inv:DB'. For TLS, wrap the
socket: ssl.create_default_context(cafile=CA).wrap_socket(s, server_hostname=host).
"""
import os
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


def send(stream, *words):
    for word in (b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)):
        stream.write(word)
    stream.flush()


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
    if login := os.environ.get("LISTEN_LOGIN"):
        send(stream, b"AUTH", *login.encode().split(maxsplit=1))
        reply(stream)
    send(stream, b"SUBSCRIBE", f"{prefix}:!2:!inv:{db}".encode())
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
