#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what nodes of nigh invalidate.      listen.py SOCKET|HOST:PORT [PREFIX [DB]]

It is no node: it may miss a frame, and then says so. LISTEN_LOGIN="USER PASSWORD" logs in; the user
needs +subscribe and '&PREFIX:!2:!inv:DB'. To invalidate, run the program nigh: a change is a script
in Redis, not a message. For TLS, wrap the socket that connect() returns (module ssl).
"""
import os, socket, struct, sys, time

KINDS = {1: "key", 2: "tag", 3: "space", 4: "all"}

def connect(place):
    if "/" not in place:
        return socket.create_connection(place.rsplit(":", 1))
    s = socket.socket(socket.AF_UNIX)
    s.connect(place)
    return s

def reply(stream):  # of Redis' protocol (RESP2), as far as a subscriber gets any
    line = stream.readline()
    if line[:1] == b"*":
        return [reply(stream) for _ in range(int(line[1:]))]
    if line[:1] == b"$":
        return stream.read(int(line[1:]) + 2)[:-2]
    if line[:1] in (b"-", b""):
        raise OSError(line[1:].decode().strip() or "closed by the server")

def items(frame, at=96):  # see "Frame" in lib/l2/README.md
    while at < len(frame):
        kind, flags, space_len, length = struct.unpack_from("<BBBxI8x", frame, at)
        name = at + 16 + space_len
        yield KINDS[kind], flags & 1, frame[at + 16 : name], frame[name : name + length]
        at = name + length

def listen(place, prefix="nigh", db="0"):
    login, expected = os.environ.get("LISTEN_LOGIN"), None
    with connect(place) as s, s.makefile("rb") as stream:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for command in (f"AUTH {login}", f"SUBSCRIBE {prefix}:!2:!inv:{db}")[not login :]:
            s.sendall(command.encode() + b"\r\n")
            reply(stream)
        while True:
            frame = reply(stream)[2]
            magic, clock, position, _, _, node = struct.unpack_from("<4s48s4Q", frame)
            if magic != b"nf\2\0" or position == 0 or clock[40:] == bytes(8):
                continue  # somebody else's; a fill, which changes nothing; a call for nodes
            if expected not in (None, (clock, position)):
                print("missed some: anything may have changed", flush=True)
            expected = clock, position + 1
            for kind, soft, space, name in items(frame):
                print(position, f"node {node >> 48:04x}", "soft " * soft + kind,
                      space.decode(errors="replace"), name, flush=True)

while True:
    try:
        listen(*sys.argv[1:])
    except (OSError, ValueError, KeyError, struct.error) as e:
        print(f"not connected ({e}): anything may change unheard", flush=True)
        time.sleep(1)
