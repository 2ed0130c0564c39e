"""What the attacks share: programs that are started and watched, honest users, frp's wire and a table.

Releases are named on the command line, each a folder with `frps` and `frpc`: `now=target/release before=DIR frp=DIR`.
A release that is called `frp` is frp's. Everything runs in a network namespace of its own (see `all`).
"""
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

TOKEN = "tok"
HONEST, ATTACKER = "127.0.0.1", "127.0.0.2"
BIND, WEB, VHOST, HTTPS, CONNECT, SSH, USERS, SERVICE = 20000, 20001, 20080, 20043, 20081, 20022, 20500, 20900
ADMIN, UDP_USERS = 20002, 20501


def releases():
    """The releases that were named, and words that are no release."""
    named = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    if not named:
        sys.exit(sys.modules["__main__"].__doc__)
    return {name: os.path.abspath(path) for name, path in named.items()}, [w for w in sys.argv[1:] if "=" not in w]


class Program:
    """A running program; what it takes, and the most of it."""

    def __init__(self, path, text, name, **more):
        self.home = tempfile.mkdtemp(prefix="attack.")
        file = f"{self.home}/{name}.toml"
        with open(file, "w") as out:
            out.write(text)
        self.log = f"{self.home}/{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([path, "-c", file], stdout=log, stderr=log, **more)
        self.pid, self.most = self.process.pid, (0, 0)
        self.ended = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self):
        while not self.ended.wait(0.05):
            try:
                self.most = tuple(map(max, self.most, self.takes()))
            except (OSError, StopIteration):
                return

    def takes(self):
        """Resident memory in KB, descriptors."""
        with open(f"/proc/{self.pid}/status") as status:
            rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        return rss, len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu(self):
        """Seconds of CPU so far."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def watch(self):
        """The most counts from here."""
        if not self.lives():
            sys.exit(f"it has ended: {self.text()[-1500:].decode(errors='replace')}")
        self.base, self.most, self.since, self.began = self.takes(), (0, 0), self.cpu(), time.time()

    def took(self):
        """What it took since: memory in MB, descriptors, per cent of a core."""
        percent = 100 * (self.cpu() - self.since) / (time.time() - self.began)
        return (self.most[0] - self.base[0]) / 1000, self.most[1] - self.base[1], percent

    def lives(self):
        return self.process.poll() is None

    def text(self):
        with open(self.log, "rb") as log:
            return log.read()

    def stop(self):
        self.ended.set()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def frps(path, extra="", **more):
    """frps with all its ports, once it listens."""
    program = Program(f"{path}/frps", f"""bindPort = {BIND}
kcpBindPort = {BIND}
quicBindPort = {BIND + 3}
vhostHTTPPort = {VHOST}
vhostHTTPSPort = {HTTPS}
tcpmuxHTTPConnectPort = {CONNECT}
auth.token = "{TOKEN}"
webServer.port = {WEB}
webServer.user = "a"
webServer.password = "b"
log.disablePrintColor = true
{extra}""", "frps", **more)
    until(lambda: connects(BIND), 5)
    return program


def frpc(path, proxies, extra="", port=BIND, users=USERS):
    """An honest frpc, once a user of it is served."""
    program = Program(f"{path}/frpc", f"""serverAddr = "{HONEST}"
serverPort = {port}
auth.token = "{TOKEN}"
loginFailExit = false
log.disablePrintColor = true
{extra}
{proxies}""", "frpc")
    if users:
        until(lambda: served(users), 15)
    return program


def proxy(name, kind, **fields):
    """The text of a proxy of frpc."""
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in {"name": name, "type": kind, **fields}.items())
    return f"[[proxies]]\n{lines}"


ECHO = proxy("echo", "tcp", localPort=SERVICE, remotePort=USERS)


def connects(port):
    try:
        socket.create_connection((HONEST, port), 1).close()
        return True
    except OSError:
        return False


def until(done, patience):
    """Waits until `done()`, and says whether it came to that."""
    end = time.time() + patience
    while not done():
        if time.time() > end:
            return False
        time.sleep(0.05)
    return True


def exactly(conn, count):
    got = b""
    while len(got) < count:
        more = conn.recv(count - len(got))
        if not more:
            raise EOFError
        got += more
    return got


def served(port, patience=2, source=HONEST):
    """Whether a new user's 64 bytes come back."""
    try:
        with socket.create_connection((HONEST, port), patience, (source, 0)) as user:
            user.sendall(b"x" * 64)
            return exactly(user, 64) == b"x" * 64
    except (OSError, EOFError):
        return False


def get(port, host="a.test", patience=5, path="/"):
    """Whether a new user of a web site gets a 200."""
    try:
        with socket.create_connection((HONEST, port), patience) as user:
            user.settimeout(patience)
            user.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in user.recv(100)
    except OSError:
        return False


def logs_in(port=BIND):
    """Whether an honest login is answered."""
    try:
        Session(port).close()
        return True
    except (OSError, EOFError, PermissionError):
        return False


class Honest:
    """Honest people who come one after the other, a thread for each kind; how long each waited."""

    def __init__(self, **kinds):
        self.waits = {name: [] for name in kinds}
        self.failed = {name: 0 for name in kinds}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._come, args=kind, daemon=True) for kind in kinds.items()]
        for thread in self.threads:
            thread.start()

    def _come(self, name, comes):
        while not self.over.wait(0.1):
            since = time.time()
            if comes():
                self.waits[name].append(time.time() - since)
            else:
                self.failed[name] += 1

    def leave(self):
        """For each kind the longest wait, or how many were not served."""
        self.over.set()
        for thread in self.threads:
            thread.join(6)
        said = {}
        for name, waits in self.waits.items():
            worst = f"{1000 * max(waits):.0f} ms" if waits else "none"
            lost = self.failed[name]
            said[name] = f"{lost} of {lost + len(waits)} not served" if lost else worst
        return said


def echo_service(port=SERVICE, kind=socket.SOCK_STREAM):
    """A service that says what it hears, in a process of its own."""
    def run():
        if kind == socket.SOCK_DGRAM:
            sock = socket.socket(socket.AF_INET, kind)
            sock.bind((HONEST, port))
            while True:
                data, peer = sock.recvfrom(65536)
                sock.sendto(data, peer)
        listener = socket.create_server((HONEST, port), backlog=4096)

        def one(conn):
            try:
                while data := conn.recv(65536):
                    conn.sendall(data)
            except OSError:
                pass
            conn.close()

        while True:
            conn, _ = listener.accept()
            threading.Thread(target=one, args=[conn], daemon=True).start()

    return in_process(run)


def in_process(run, *args):
    process = multiprocessing.get_context("fork").Process(target=run, args=args, daemon=True)
    process.start()
    return process


def web_service(port):
    """A service that answers each request with 200 and `ok`."""
    def run():
        listener = socket.create_server((HONEST, port), backlog=4096)

        def one(conn):
            buffer = b""
            try:
                while data := conn.recv(65536):
                    buffer = (buffer + data)[-(1 << 20):]
                    while b"\r\n\r\n" in buffer:
                        head, buffer = buffer.split(b"\r\n\r\n", 1)
                        if b"Content-Length" in head:
                            left = int(head.split(b"Content-Length:")[1].split(b"\r\n")[0]) - len(buffer)
                            exactly(conn, max(left, 0))
                            buffer = b""
                        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            except (OSError, EOFError):
                pass
            conn.close()

        while True:
            conn, _ = listener.accept()
            threading.Thread(target=one, args=[conn], daemon=True).start()

    return in_process(run)


# frp's wire, version 1 (frp pkg/msg/msg.go).

TYPES = dict(Login="o", LoginResp="1", NewProxy="p", NewProxyResp="2", CloseProxy="c", NewWorkConn="w", ReqWorkConn="r",
             StartWorkConn="s", NewVisitorConn="v", Ping="h", Pong="4", UdpPacket="u")
NAMES = {letter: name for name, letter in TYPES.items()}
WINDOW, DATA, PING = 1, 0, 2
SYN, ACK, FIN, RST = 1, 2, 4, 8


def mux_frame(kind, flags, stream, length):
    """A head of yamux."""
    return struct.pack(">BBHII", 0, kind, flags, stream, length)


def on_stream(data, stream=1):
    """A new stream of yamux with what is said first."""
    return mux_frame(WINDOW, SYN, stream, 0) + mux_frame(DATA, 0, stream, len(data)) + data


def frame(letter, body):
    return letter.encode() + struct.pack(">q", len(body)) + body


def message(kind, **fields):
    return frame(TYPES[kind], json.dumps(fields).encode())


def read_message(conn):
    head = exactly(conn, 9)
    body = exactly(conn, struct.unpack(">q", head[1:])[0])
    return NAMES.get(head[:1].decode("latin1"), head[:1]), json.loads(body or b"null")


def login(**more):
    now = int(time.time())
    key = hashlib.md5((TOKEN + str(now)).encode()).hexdigest()
    return message("Login", version="0.70.1", hostname="h", os="linux", arch="amd64", privilege_key=key, timestamp=now,
                   pool_count=0, **more)


class Enciphered:
    """The control connection after a login."""

    def __init__(self, conn):
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
        try:
            from cryptography.hazmat.decrepit.ciphers.modes import CFB
        except ImportError:
            from cryptography.hazmat.primitives.ciphers.modes import CFB
        key = hashlib.pbkdf2_hmac("sha1", TOKEN.encode(), b"frp", 64, 16)
        self.conn, nonce = conn, os.urandom(16)
        self.make = lambda iv: Cipher(algorithms.AES(key), CFB(iv))
        self.out, self.into, self.ahead = self.make(nonce).encryptor(), None, nonce

    def sendall(self, data):
        self.conn.sendall(self.ahead + self.out.update(data))
        self.ahead = b""

    def recv(self, count):
        if self.into is None:
            self.into = self.make(exactly(self.conn, 16)).decryptor()
        return self.into.update(self.conn.recv(count))


class OneStream:
    """The first stream of a multiplexed connection, and nothing else of it."""

    def __init__(self, conn, stream=1):
        self.conn, self.stream, self.ready = conn, stream, b""
        conn.sendall(mux_frame(WINDOW, SYN, stream, 0))

    def sendall(self, data):
        for at in range(0, len(data), 60_000):
            part = data[at:at + 60_000]
            self.conn.sendall(mux_frame(DATA, 0, self.stream, len(part)) + part)

    def recv(self, count):
        while not self.ready:
            _, kind, flags, stream, length = struct.unpack(">BBHII", exactly(self.conn, 12))
            if kind == DATA and length:
                self.ready = exactly(self.conn, length)
            elif kind == PING and flags & SYN:
                self.conn.sendall(mux_frame(PING, ACK, 0, length))
            elif flags & (FIN | RST):
                return b""
        got, self.ready = self.ready[:count], self.ready[count:]
        return got


class Session:
    """A client of frps that is logged in over the mux, or without it."""

    def __init__(self, port=BIND, mux=True, patience=5, source=HONEST, tls=False, **more):
        self.sock = socket.create_connection((HONEST, port), patience, (source, 0))
        if tls:
            self.sock = client_tls().wrap_socket(self.sock)
        self.stream = OneStream(self.sock) if mux else self.sock
        self.stream.sendall(login(**more))
        _, answer = read_message(self.stream)
        if answer.get("error"):
            raise PermissionError(answer["error"])
        self.run_id, self.control = answer["run_id"], Enciphered(self.stream)

    def send(self, kind, **fields):
        self.control.sendall(message(kind, **fields))

    def wait(self, kind):
        """The next message of that kind; others are dropped."""
        while True:
            got, body = read_message(self.control)
            if got == kind:
                return body

    def close(self):
        self.sock.close()


def client_tls(alpn=()):
    """TLS that checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def hello(name="a.test", alpn=()):
    """The bytes of a ClientHello."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client_tls(alpn).wrap_bio(into, out, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def unlimited():
    """As many descriptors as may be had."""
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def table(title, rows):
    """`rows`: what was done -> release -> what came of it."""
    names = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    print(f"\n| {title} | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for what, cells in rows.items():
        print(f"| {what} | {' | '.join(str(cells.get(name, 'not measured')) for name in names)} |")
    sys.stdout.flush()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
unlimited()
