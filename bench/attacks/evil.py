#!/usr/bin/env python3
"""What can a hostile frps do to frpc?  evil.py NAME=DIR... [WORD...]

Poses as frps (wire v1) towards many frpc at once, for ATTACK (30) seconds: each of frp's messages with each field at
each of its worst, on the control connection of its own frpc, as the answer to a login, to a work connection and to a
visitor, and floods of the mux. Where frpc ends a session, the next one goes on behind what ended it. Then an honest frps
takes the place of all of them. Printed for each place: what was said, how many frpc live, the most memory and
descriptors of one, its log, lines in it that the attacker made up, and users of the honest frps that were served.
"""
import json
import os
import socket
import struct
import sys
import threading
import time

from lib import *

ATTACK, PATIENCE = float(os.environ.get("ATTACK", "30")), 45
FIRST_PORT, FIRST_USER = 21000, 22000

# Each message with its fields (frp pkg/msg/msg.go), and ours.
MESSAGES = {
    "o": "version hostname os arch user privilege_key timestamp run_id client_id metas client_spec pool_count features scram run_key signature",
    "1": "version run_id error features scram run_id_lost",
    "p": "proxy_name proxy_type use_encryption use_compression bandwidth_limit group remote_port custom_domains metas headers allow_users",
    "2": "proxy_name remote_addr error",
    "c": "proxy_name",
    "w": "run_id privilege_key timestamp signature",
    "r": "",
    "s": "proxy_name src_addr dst_addr src_port dst_port error",
    "v": "run_id proxy_name sign_key timestamp use_encryption use_compression",
    "3": "proxy_name error",
    "h": "privilege_key timestamp",
    "4": "error",
    "u": "c l r",
    "i": "transaction_id proxy_name pre_check protocol sign_key timestamp mapped_addrs assisted_addrs",
    "n": "transaction_id proxy_name sid mapped_addrs assisted_addrs",
    "m": "transaction_id sid protocol candidate_addrs assisted_addrs detect_behavior error",
    "5": "transaction_id sid response nonce",
    "6": "sid success",
}
NASTY = [
    "x" * 9_000, "echo", "echo\n2026 [I] FAKE \x1b[2J", "\u0000", "\ud800", "", None, True, -1, 0, 2**31, 2**63, 2**64,
    1e308, 0.5, [], ["a"] * 1_000, {}, {"a": {"b": []}}, [[[[[[[[]]]]]]]], "255.255.255.255:0", "[::]:65536", "é" * 3_000,
]
BODIES = [b"", b"null", b"[]", b"0", b"{", b'{"a":', b"\xff\xfe", b"[" * 9_000, b'{"proxy_name":"echo","proxy_name":7}',
          b'{"a":"' + b"\\u0000" * 1_500 + b'"}', b" " * 10_000]


def worst(kind):
    """The message with each field at each of its worst, and bodies and lengths that are none."""
    said = [message_of(kind, **{"proxy_name": "echo", field: value}) for field in MESSAGES[kind].split() for value in NASTY]
    said += [frame(kind, body) for body in BODIES]
    return said + [kind.encode() + struct.pack(">q", length) for length in (2**62, -1, 10_241)]


def message_of(kind, **fields):
    return frame(kind, json.dumps(fields).encode())


ALL = [one for kind in MESSAGES for one in worst(kind)]


class Hostile:
    """A frps that means no good, at one port, until `honest` is there: then what comes is passed on to it."""

    def __init__(self, port, said):
        self.port, self.said, self.at, self.sent, self.sessions, self.honest = port, said, 0, 0, 0, False
        self.listener = socket.create_server((HONEST, port), backlog=1024)
        self.conns, self.lock = set(), threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self._one, args=[conn], daemon=True).start()

    def _one(self, conn):
        self.conns.add(conn)
        try:
            if self.honest:
                return pass_on(conn)
            conn.settimeout(10)
            self.talk(conn)
        except (OSError, EOFError, ValueError, KeyError):
            pass
        finally:
            self.conns.discard(conn)
            conn.close()

    def next(self):
        """What is said next, around and around."""
        with self.lock:
            self.at += 1
            self.sent += 1
            return self.said[(self.at - 1) % len(self.said)]

    def session(self, conn):
        conn.sendall(message("LoginResp", version="0.70.1", run_id="r1"))
        self.sessions += 1
        control = Enciphered(conn)
        control.sendall(b"")
        return control

    def give_way(self):
        self.honest = True
        for conn in list(self.conns):
            conn.close()


class InControl(Hostile):
    """After a good login."""

    def talk(self, conn):
        if read_message(conn)[0] != "Login":
            return conn.sendall(message("StartWorkConn", proxy_name="nobody"))
        control = self.session(conn)
        conn.settimeout(0.005)
        while not self.honest:
            control.sendall(self.next())
            try:
                if not conn.recv(65536):
                    return
            except TimeoutError:
                pass


class AtLogin(Hostile):
    """In the place of the login's answer, and behind it."""

    def talk(self, conn):
        read_message(conn)
        conn.sendall(self.next())
        conn.sendall(message("LoginResp", version="x", run_id="y" * 9_000))
        self.sessions += 1
        time.sleep(0.1)


class InWork(Hostile):
    """In the place of `StartWorkConn`."""

    def talk(self, conn):
        kind, _ = read_message(conn)
        if kind != "Login":
            conn.sendall(self.next())
            return time.sleep(0.05)
        control = self.session(conn)
        while not self.honest:
            control.sendall(message("ReqWorkConn") * 20)
            time.sleep(0.1)


class AtVisitor(Hostile):
    """In the place of a visitor's answer."""

    def talk(self, conn):
        kind, _ = read_message(conn)
        if kind != "Login":
            conn.sendall(self.next())
            return time.sleep(0.05)
        self.session(conn)
        while not self.honest:
            served(self.port + 2000, 0.02)


class InMux(Hostile):
    """Frames of the mux, before and after a login."""

    def talk(self, conn):
        head = exactly(conn, 12)
        stream = struct.unpack(">BBHII", head)[3]
        at = self.sessions
        self.sessions += 1
        conn.sendall(mux_frame(WINDOW, ACK, stream, 0))
        flood = self.said[at % len(self.said)]
        conn.setblocking(True)
        conn.settimeout(1)
        end = time.time() + 3
        while time.time() < end and not self.honest:
            conn.sendall(flood)
            self.sent += 1


def mux_floods():
    return [
        b"".join(mux_frame(WINDOW, SYN, 2 + 2 * n, 0) for n in range(1000)),
        b"".join(mux_frame(WINDOW, SYN, 2 + 2 * n, 0) + mux_frame(WINDOW, RST, 2 + 2 * n, 0) for n in range(1000)),
        mux_frame(PING, SYN, 0, 7) * 1000, mux_frame(PING, ACK, 0, 7) * 1000, mux_frame(WINDOW, 0, 1, 0xFFFFFFFF) * 1000,
        (mux_frame(DATA, 0, 77, 10_000) + bytes(10_000)) * 10, mux_frame(DATA, 0, 1, 0) * 1000, mux_frame(3, 0, 0, 0) * 1000,
        mux_frame(DATA, 0, 1, 0xFFFFFFFF) + bytes(65536), mux_frame(9, 0, 0, 0), b"\x01" * 1200,
    ]


def pass_on(conn):
    """Both ways, to the honest frps."""
    with socket.create_connection((HONEST, BIND), 5) as other:
        other.settimeout(None)
        conn.settimeout(None)

        def one(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
            except OSError:
                pass
            for end in (a, b):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        back = threading.Thread(target=one, args=[other, conn], daemon=True)
        back.start()
        one(conn, other)
        back.join()


def places():
    """Where -> the hostile frps of each frpc there."""
    return {
        "after a login": [(InControl, worst(kind)) for kind in MESSAGES],
        "in the place of a login's answer": [(AtLogin, worst(kind)) for kind in MESSAGES],
        "in the place of StartWorkConn": [(InWork, ALL)],
        "in the place of a visitor's answer": [(AtVisitor, ALL)],
        "frames of the mux": [(InMux, mux_floods())],
    }


def attack(path, where, first_port):
    hostile, clients = [], []
    for number, (kind, said) in enumerate(places()[where]):
        port, user = first_port + number, FIRST_USER + number
        hostile.append(kind(port, said))
        mux = "true" if kind is InMux else "false"
        text = proxy(f"echo{number}" if kind is InMux else "echo", "tcp", localPort=SERVICE, remotePort=user)
        if kind is AtVisitor:
            text += (f'[[visitors]]\nname = "visitor"\ntype = "stcp"\nserverName = "s"\nsecretKey = "k"\nbindPort = {port + 2000}\n'
                     f'[[visitors]]\nname = "udp"\ntype = "sudp"\nserverName = "s"\nsecretKey = "k"\nbindPort = {port + 3000}\n')
        more = f'transport.tls.enable = false\ntransport.tcpMux = {mux}\nuser = "u{number}"\n'
        clients.append(frpc(path, text, more, port, None))
    for client in clients:
        until(client.lives, 1)
        client.watch()
    time.sleep(ATTACK)
    most = [client.most for client in clients]
    before = max(client.base[0] for client in clients)
    server = frps(path, "transport.tcpMux = true\n" if where == "frames of the mux" else "transport.tcpMux = false\n")
    since = time.time()
    for one in hostile:
        one.give_way()
    waiting, last = set(range(len(clients))), 0
    while waiting and time.time() - since < PATIENCE:
        for number in [n for n in waiting if served(FIRST_USER + n, 1)]:
            waiting.discard(number)
            last = time.time() - since
        time.sleep(0.1)
    lives = sum(client.lives() for client in clients)
    logs = [client.text() for client in clients]
    made_up = sum(b"FAKE" in line[:30] for log in logs for line in log.splitlines())
    for program in [*clients, server]:
        program.stop()
    for one in hostile:
        one.listener.close()
    sessions, sent = sum(one.sessions for one in hostile), sum(one.sent for one in hostile)
    came_back = len(clients) - len(waiting)
    return (f"{sent:,} in {sessions} sessions: {lives} of {len(clients)} live, {before / 1000:.0f} to {max(m for m, _ in most) / 1000:.0f} MB, "
            f"{max(f for _, f in most)} fds, log {max(map(len, logs)) / 1000:.0f} KB, {made_up} made up; {came_back} served after {last:.0f} s")


def main():
    named, words = releases()
    service, rows, ports = echo_service(), {}, list(range(FIRST_PORT, 22_000, 20))
    for where in places():
        if words and not any(word in where for word in words):
            continue
        for name, path in named.items():
            rows.setdefault(where, {})[name] = attack(path, where, ports.pop(0))
            print(f"  {where}, {name}: {rows[where][name]}", file=sys.stderr, flush=True)
    table(f"a hostile frps, {ATTACK:.0f} s, {len(ALL)} messages", rows)
    service.terminate()


main()
