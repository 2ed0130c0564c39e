#!/usr/bin/env python3
"""Requests that are read in two ways, against services of several makers.  smuggle.py NAME=DIR... [CASE...]

Each case of the corpus is sent to a proxy of type http (HTTP/1, and HTTP/2 with prior knowledge), and to one of type
https whose plugin https2http ends TLS, with nginx, Apache, Node, Python and Go behind them, as far as they are
installed. After each a second user asks the same service twice. Counted for each service, over all cases:

    wrong     answers to the second user that are not for what it asked: there must be none
    answered  answers to the attacker for a request that frp did not pass on as one
    hidden    requests that the service saw and frp passed on as a part of another (they have no X-Forwarded-For)
    refused   cases that no service saw
"""
import os
import socket
import struct
import sys
import threading
import time

from lib import *
from smuggle_backends import backends
from smuggle_corpus import CASES, HTTP2

QUIET = 0.4
SECURE = dict(zip(["x.test", "h.test", "n.test", "p.test", "g.test"], ["1.test", "2.test", "3.test", "4.test", "5.test"]))


def text_of(value):
    value = value.encode("latin1") if isinstance(value, str) else value
    return (bytes([len(value)]) if len(value) < 127 else b"\x7f" + varint(len(value) - 127)) + value


def varint(number):
    out = b""
    while number >= 128:
        out, number = out + bytes([number % 128 | 128]), number // 128
    return out + bytes([number])


def h2_frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def h2_request(fields, body):
    """A connection of HTTP/2 with one request on it."""
    block = b"".join(b"\0" + text_of(name) + text_of(value) for name, value in fields)
    data = h2_frame(0, 1, 1, body) if body else b""
    return (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(4, 0, 0) + h2_frame(1, 4 if body else 5, 1, block) + data)


def talk(port, data, secure):
    """What comes back until there is silence."""
    got = b""
    try:
        conn = socket.create_connection((HONEST, port), 5, (ATTACKER, 0))
        if secure:
            conn = client_tls().wrap_socket(conn, server_hostname=secure)
        with conn:
            conn.sendall(data)
            conn.settimeout(QUIET)
            while more := conn.recv(65536):
                got += more
    except OSError:
        pass
    return got


def ask(conn, host, target):
    """A request of an honest user: whether the answer is for it."""
    conn.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        more = conn.recv(65536)
        if not more:
            raise EOFError
        got += more
    head, body = got.split(b"\r\n\r\n", 1)
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
    exactly(conn, max(length - len(body), 0))
    return f"x-target: {target}\r\n".encode() in (head + b"\r\n").lower()


def second_user(port, host, secure, number):
    """Wrong answers, and requests without an answer."""
    wrong = lost = 0
    try:
        conn = socket.create_connection((HONEST, port), 5)
        if secure:
            conn = client_tls().wrap_socket(conn, server_hostname=secure)
        with conn:
            conn.settimeout(5)
            for turn in range(2):
                wrong += not ask(conn, host, f"/honest-{number}-{turn}")
    except (OSError, EOFError):
        lost = 1
    return wrong, lost


def attack_backend(backend, port, cases, secure, counts, story):
    host = SECURE[backend.host] if secure else backend.host
    sni = host if secure else None
    backend.seen()
    for number, (name, data) in enumerate(cases):
        data = data.replace(b"a.test", host.encode())
        got = talk(port, data, sni)
        wrong, lost = second_user(port, host, sni, number)
        until(lambda: False, 0.05)
        seen = [line for line in backend.seen() if not line[1].startswith("/honest-")]
        hidden = [line for line in seen if line[3] in ("None", "-", "") and "/smuggled" in line[1]]
        answered = got.lower().count(b"x-target: /smuggled") if hidden else 0
        for key, value in dict(wrong=wrong, lost=lost, hidden=len(hidden), answered=answered, refused=not seen).items():
            counts[key] = counts.get(key, 0) + int(value)
        if wrong or lost or hidden:
            story.append(f"{backend.name}: {name}: wrong {wrong}, lost {lost}, hidden {hidden}, answer {got[:60]}")


def main():
    named, words = releases()
    services = backends(SERVICE)
    until(lambda: all(connects(service.port) for service in services), 60)
    ways = {
        "http": (VHOST, CASES, False),
        "https2http": (HTTPS, CASES, True),
        "HTTP/2": (VHOST, [(name, h2_request(fields, body)) for name, fields, body in HTTP2], False),
    }
    proxies = "".join(proxy(s.name, "http", localPort=s.port, customDomains=[s.host]) for s in services)
    proxies += proxy("b", "http", localPort=services[0].port, customDomains=["b.test"])
    for s in services:
        proxies += proxy(f"{s.name}-tls", "https", customDomains=[SECURE[s.host]])
        proxies += f'[proxies.plugin]\ntype = "https2http"\nlocalAddr = "127.0.0.1:{s.port}"\n'
    rows = {}
    for name, path in named.items():
        server = frps(path)
        client = frpc(path, ECHO + proxies)
        for way, (port, cases, secure) in ways.items():
            cases = [case for case in cases if not words or any(word in case[0] for word in words)]
            counted, story = {s.name: {} for s in services}, []
            threads = [threading.Thread(target=attack_backend, args=[s, port, cases, secure, counted[s.name], story])
                       for s in services]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for s in services:
                counts = counted[s.name]
                rows.setdefault(f"{way}, {s.name}", {})[name] = (
                    f"{counts.get('wrong', 0)} / {counts.get('answered', 0)} / {counts.get('hidden', 0)} / {counts.get('refused', 0)}"
                    + (f", {counts['lost']} lost" if counts.get("lost") else ""))
            for line in story:
                print(f"  {name}, {way}, {line}", file=sys.stderr)
        client.stop()
        server.stop()
    table(f"{len(CASES)} requests of HTTP/1, {len(HTTP2)} of HTTP/2: wrong / answered / hidden / refused", rows)
    for service in services:
        service.stop()


SERVICE_ECHO = echo_service(SERVICE + 50)
ECHO = proxy("echo", "tcp", localPort=SERVICE + 50, remotePort=USERS)
main()
SERVICE_ECHO.terminate()
