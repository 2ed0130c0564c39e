#!/usr/bin/env python3
"""What can a hostile frps do to frpc?  hostile_frps.py FRPC FRPS

Poses as frps (wire v1, without the mux) and sends frpc messages with their fields at their worst: a kind for each
session, on its control and work connections, until SECONDS_OF_IT (60) are over, and then, where there is time, in the
place of the login's answer. frpc ends a session at the first message that it cannot read, so what is behind that in
the same session is not judged. Then an honest frps takes its place at the same port. Prints what became of frpc: whether it lives, its memory, descriptors and log, and whether a user of the
tunnel is served afterwards. Needs the package `cryptography`; run it in a network namespace of its own:

    unshare -n sh -c 'ip link set lo up; exec python3 bench/attacks/hostile_frps.py target/release/frpc target/release/frps'
"""
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:
    from cryptography.hazmat.primitives.ciphers.modes import CFB

TOKEN = "tok"
PORT, USERS, SERVICE = 40100, 40200, 40300
KEY = hashlib.pbkdf2_hmac("sha1", TOKEN.encode(), b"frp", 64, 16)

# Each message with its fields (frp pkg/msg/msg.go).
MESSAGES = {
    "o": "version hostname os arch user privilege_key timestamp run_id client_id metas client_spec pool_count",
    "1": "version run_id error",
    "p": "proxy_name proxy_type use_encryption use_compression bandwidth_limit group remote_port custom_domains metas",
    "2": "proxy_name remote_addr error",
    "c": "proxy_name",
    "w": "run_id privilege_key timestamp",
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
    "x" * 9_000, "ssh", "ssh\n2026 [I] FAKE \x1b[2J", "\u0000", "\ud800", "", None, True, -1, 0, 2**31, 2**63, 2**64,
    1e308, 0.5, [], ["a"] * 1_000, {}, {"a": {"b": []}}, [[[[[[[[]]]]]]]], "255.255.255.255:0", "[::]:65536", "é" * 3_000,
]


def frame(kind, body):
    return kind.encode() + struct.pack(">q", len(body)) + body


def message(kind, **fields):
    return frame(kind, json.dumps(fields).encode())


def worst(kind):
    """The message with each field at each of its worst, and bodies that are none."""
    for field in MESSAGES[kind].split():
        for value in NASTY:
            yield message(kind, **{"proxy_name": "ssh", field: value})
    for body in [b"", b"null", b"[]", b"0", b"{", b'{"a":', b"\xff\xfe", b"[" * 9_000, b'{"proxy_name":"ssh","proxy_name":7}',
                 b'{"a":"' + b"\\u0000" * 1_500 + b'"}', b" " * 10_000]:
        yield frame(kind, body)
    yield kind.encode() + struct.pack(">q", 2**62)
    yield kind.encode() + struct.pack(">q", -1)
    yield kind.encode() + struct.pack(">q", 10_241)


def read_message(conn):
    head = exactly(conn, 9)
    return head[:1].decode("latin1"), exactly(conn, struct.unpack(">q", head[1:])[0])


def exactly(conn, count):
    got = b""
    while len(got) < count:
        more = conn.recv(count - len(got))
        if not more:
            raise EOFError
        got += more
    return got


class Hostile:
    """Accepts; says what the connection begins with."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", PORT), backlog=1024)
        self.logins = []

    def next(self, patience):
        """A connection and what its first message is."""
        self.listener.settimeout(patience)
        conn, _ = self.listener.accept()
        conn.settimeout(2)
        try:
            return conn, read_message(conn)[0]
        except (OSError, EOFError):
            conn.close()
            return None, ""

    def work(self):
        """A work connection; a login that comes in its place is kept for later."""
        conn, kind = self.next(1)
        if kind == "o":
            self.logins.append(conn)
            raise EOFError
        return conn

    def login(self):
        while not self.logins:
            conn, kind = self.next(40)
            if kind == "o":
                return conn
        return self.logins.pop()

    def session(self):
        """The connection after a good login, and what enciphers for it."""
        conn = self.login()
        conn.sendall(message("1", version="0.70.1", run_id="r1"))
        nonce = os.urandom(16)
        cipher = Cipher(algorithms.AES(KEY), CFB(nonce)).encryptor()
        conn.sendall(nonce)
        return conn, cipher


def status(pid):
    fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
    return int(fields["VmRSS"].split()[0]), len(os.listdir(f"/proc/{pid}/fd"))


def echo():
    listener = socket.create_server(("127.0.0.1", SERVICE))
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=lambda c=conn: c.sendall(c.recv(100)), daemon=True).start()


def main():
    frpc, frps = sys.argv[1:3]
    home = tempfile.mkdtemp()
    with open(f"{home}/frpc.toml", "w") as file:
        file.write(f"""serverAddr = "127.0.0.1"
serverPort = {PORT}
loginFailExit = false
auth.token = "{TOKEN}"
transport.tls.enable = false
transport.tcpMux = false
[[proxies]]
name = "ssh"
type = "tcp"
localPort = {SERVICE}
remotePort = {USERS}
""")
    with open(f"{home}/frps.toml", "w") as file:
        file.write(f'bindPort = {PORT}\nauth.token = "{TOKEN}"\ntransport.tcpMux = false\n')
    threading.Thread(target=echo, daemon=True).start()
    hostile, log = Hostile(), open(f"{home}/frpc.log", "wb")
    client = subprocess.Popen([frpc, "-c", f"{home}/frpc.toml"], stdout=log, stderr=log)
    most, sent, sessions, ended = [0, 0], 0, 0, time.time() + float(os.environ.get("SECONDS_OF_IT", "60"))

    def look(done):
        while not done.wait(0.05):
            try:
                most[:] = map(max, most, status(client.pid))
            except (OSError, KeyError, ValueError):
                return

    done = threading.Event()
    threading.Thread(target=look, args=[done], daemon=True).start()
    time.sleep(0.5)
    before = status(client.pid)
    try:
        # Before the login's answer: anything but it. One login each, so a few of each kind.
        early = [worst(kind) for kind in MESSAGES]
        stages = [(kind, list(worst(kind))) for kind in MESSAGES]
        for kind, all_of_it in stages:
            if time.time() > ended:
                break
            conn, cipher = hostile.session()
            sessions += 1
            try:
                for one in all_of_it[:-3]:
                    conn.sendall(cipher.update(one))
                    sent += 1
                conn.sendall(cipher.update(message("r") * 20))
                for one in all_of_it[:20]:
                    with hostile.work() as work:
                        work.sendall(one)
                        sent += 1
            except (OSError, EOFError):
                pass
            conn.close()
        for stream in early:
            if time.time() > ended:
                break
            conn = hostile.login()
            try:
                conn.sendall(next(stream))
                conn.sendall(message("1", version="x", run_id="y" * 9_000))
                sent += 2
            except OSError:
                pass
            conn.close()
    except OSError as error:
        print("  the hostile frps:", error)
    hostile.listener.close()
    for conn in hostile.logins:
        conn.close()
    server = subprocess.Popen([frps, "-c", f"{home}/frps.toml"], stdout=subprocess.DEVNULL)
    served, since = None, time.time()
    while served is None and time.time() - since < 45:
        try:
            with socket.create_connection(("127.0.0.1", USERS), timeout=2) as user:
                user.settimeout(2)
                user.sendall(b"hello")
                if user.recv(100) == b"hello":
                    served = time.time() - since
        except OSError:
            pass
        time.sleep(0.2)
    done.set()
    lives = client.poll() is None
    after = status(client.pid) if lives else (0, 0)
    lines = open(f"{home}/frpc.log", "rb").read()
    print(f"  sessions {sessions}, messages {sent}; frpc {'lives' if lives else f'ended with {client.returncode}'}")
    print(f"  memory {before[0]} KB, most {most[0]}, after {after[0]}; descriptors {before[1]}, most {most[1]}, after {after[1]}")
    print(f"  log {len(lines)} bytes, {lines.count(10)} lines, made-up lines {sum(b'FAKE' in x[:30] for x in lines.splitlines())}")
    print(f"  a user of an honest frps: {'never served' if served is None else f'served after {served:.1f} s'}")
    for process in (client, server):
        process.terminate()
        process.wait(10)
    return 0 if lives and served is not None else 1


sys.exit(main())
