#!/usr/bin/env python3
"""Slow clients by the thousand, at each stage of a connection.  slow.py NAME=DIR... [STAGE...]

CROWD (3,000) connections of one address get as far as their stage, and then say a byte each second, or nothing where a
byte would end it. Meanwhile honest people come one after the other: a login, and a user of the port in question.
After HOLD (12) seconds: how many are still open, the most memory and descriptors, and the longest wait of the honest.
"""
import multiprocessing
import os
import select
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

from lib import *

CROWD, HOLD = int(os.environ.get("CROWD", "3000")), float(os.environ.get("HOLD", "12"))
FIRST = login(run_id="x" * 2000)[:1500]
WEBSOCKET = b"GET /~!frp HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEYS = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
HALF_H2 = H2 + b"\x00\x00\x05\x01\x00\x00\x00\x00\x01" + b"\x82\x86\x84\x41\x06"  # HEADERS that do not end
VISITOR = b"v" + struct.pack(">q", 3000) + b'{"run_id":"' + b"v" * 1500

# stage -> port, what is said first (TLS before it or not), what each second brings, who is honest there
STAGES = {
    "bindPort: nothing": (BIND, b"", False, b"", "login"),
    "TLS hello": (BIND, b"\x17" + hello()[:300], False, b"\0", "login"),
    "TLS, then nothing": (BIND, b"", True, b"", "login"),
    "websocket's head": (BIND, WEBSOCKET, False, b"x", "login"),
    "websocket, then nothing": (BIND, WEBSOCKET + KEYS, False, b"", "login"),
    "mux, its stream silent": (BIND, mux_frame(WINDOW, SYN, 1, 0), False, mux_frame(PING, SYN, 0, 1), "login"),
    "first message, mux": (BIND, on_stream(FIRST), False, mux_frame(DATA, 0, 1, 1) + b"x", "login"),
    "first message, TLS": (BIND, on_stream(FIRST), True, mux_frame(DATA, 0, 1, 1) + b"x", "login"),
    "a visitor's message": (BIND, on_stream(VISITOR), False, mux_frame(DATA, 0, 1, 1) + b"x", "login"),
    "http: head": (VHOST, b"GET / HTTP/1.1\r\nHost: a.test\r\nX: ", False, b"y", "http"),
    "http: body": (VHOST, b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9999\r\n\r\n", False, b"y", "http"),
    "http/2: preface": (VHOST, H2, False, b"", "http"),
    "http/2: head": (VHOST, HALF_H2, False, b"", "http"),
    "https: hello": (HTTPS, hello()[:300], False, b"\0", "login"),
    "tcpmux: CONNECT": (CONNECT, b"CONNECT a.test:80 HTTP/1.1\r\nX: ", False, b"y", "login"),
    "ssh gateway: banner": (SSH, b"SSH-2.0-x", False, b"x", "login"),
    "ssh gateway: key exchange": (SSH, b"SSH-2.0-x\r\n\0\0\x07\xd0\x04\x14", False, b"x", "login"),
    "web server: head": (WEB, b"GET /api/serverinfo HTTP/1.1\r\nX: ", False, b"y", "web"),
    "web server: body": (WEB, b"PUT /api/x HTTP/1.1\r\nAuthorization: Basic YTpi\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n",
                         False, b"y", "web"),
    "frpc's web server: head": (ADMIN, b"GET /api/status HTTP/1.1\r\nX: ", False, b"y", "admin"),
    "plugin http_proxy: CONNECT": (USERS + 10, b"CONNECT 127.0.0.1:20900 HTTP/1.1\r\nX: ", False, b"y", "user"),
    "plugin socks5: greeting": (USERS + 11, b"\x05", False, b"", "user"),
    "plugin static_file: head": (USERS + 12, b"GET / HTTP/1.1\r\nX: ", False, b"y", "user"),
    "plugin https2http: hello": (USERS + 13, hello()[:300], False, b"\0", "user"),
}
OF_FRPC = ("frpc", "plugin")
PLUGINS = "".join(f'[[proxies]]\nname = "p{n}"\ntype = "tcp"\nremotePort = {USERS + 10 + n}\n[proxies.plugin]\ntype = "{kind}"\n{more}'
                  for n, (kind, more) in enumerate([("http_proxy", ""), ("socks5", ""), ("static_file", 'localPath = "/"\n'),
                                                    ("https2http", f'localAddr = "127.0.0.1:{SERVICE}"\n')]))


def crowd(port, first, tls, each, report):
    """Comes, says what it has to, and reports how many are open."""
    def one(number):
        conn = socket.socket()
        try:
            conn.bind((ATTACKER, 0))
            conn.settimeout(5)
            conn.connect((HONEST, port))
            if tls:
                conn.sendall(b"\x17")
                conn = client_tls().wrap_socket(conn)
            conn.sendall(first)
            conn.setblocking(False)
            return conn
        except OSError:
            conn.close()

    with ThreadPoolExecutor(8) as pool:
        conns = [conn for conn in pool.map(one, range(CROWD)) if conn]
    poll = select.poll()
    by_fd = {conn.fileno(): conn for conn in conns}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    while True:
        began = time.time()
        for fd, _ in poll.poll(0):
            conn = by_fd[fd]
            try:
                while data := conn.recv(65536):
                    pass
                over = not data
            except (BlockingIOError, ssl.SSLWantReadError):
                over = False
            except OSError:
                over = True
            if over:
                poll.unregister(fd)
                by_fd.pop(fd).close()
        for fd, conn in list(by_fd.items()):
            try:
                if each:
                    conn.send(each)
            except (BlockingIOError, ssl.SSLWantWriteError):
                pass
            except OSError:
                poll.unregister(fd)
                by_fd.pop(fd).close()
        report.value = len(by_fd)
        time.sleep(max(0, began + 1 - time.time()))


def attack(path, stage, name):
    port, first, tls, each, honest = STAGES[stage]
    ssh = "" if "ssh" not in stage else f'sshTunnelGateway.bindPort = {SSH}\n'
    if ssh and name != "frp":
        ssh += 'sshTunnelGateway.autoGenPrivateKeyPath = "./key"\n'
    server = frps(path, ssh, cwd=tempfile.mkdtemp(prefix="attack."))
    client = frpc(path, ECHO + proxy("web", "http", localPort=SERVICE + 1, customDomains=["a.test"]) + PLUGINS,
                  f'webServer.port = {ADMIN}\n')
    if not server.lives():
        client.stop()
        return "has no such port"
    target = client if stage.startswith(OF_FRPC) else server
    time.sleep(0.5)
    target.watch()
    report = multiprocessing.Value("q", -1)
    people = {
        "login": dict(login=logs_in, user=lambda: served(USERS)),
        "http": dict(login=logs_in, user=lambda: get(VHOST)),
        "web": dict(login=logs_in, user=lambda: connects_and_answers(WEB)),
        "admin": dict(user=lambda: served(USERS), admin=lambda: connects_and_answers(ADMIN)),
        "user": dict(user=lambda: served(USERS)),
    }[honest]
    crowding = in_process(crowd, port, first, tls, each, report)
    until(lambda: report.value >= 0, 60)
    came = Honest(**people)
    time.sleep(HOLD)
    still, said = report.value, came.leave()
    memory, descriptors, cpu = target.took()
    lives = target.lives()
    crowding.terminate()
    crowding.join()
    client.stop()
    server.stop()
    if not lives:
        return "ended"
    people = ", ".join(f"{who} {what}" for who, what in said.items())
    return f"{still} open, +{memory:.0f} MB, +{descriptors} fds; {people}"


def connects_and_answers(port):
    try:
        with socket.create_connection((HONEST, port), 3) as conn:
            conn.settimeout(3)
            conn.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return conn.recv(12).startswith(b"HTTP/1.1")
    except OSError:
        return False


def main():
    named, words = releases()
    services = [echo_service(), web_service(SERVICE + 1)]
    rows = {}
    for stage in STAGES:
        if words and not any(word in stage for word in words):
            continue
        for name, path in named.items():
            rows.setdefault(stage, {})[name] = attack(path, stage, name)
            print(f"  {stage}, {name}: {rows[stage][name]}", file=sys.stderr, flush=True)
    table(f"{CROWD:,} slow clients, for {HOLD:.0f} s", rows)
    for service in services:
        service.terminate()


main()
