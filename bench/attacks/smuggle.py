#!/usr/bin/env python3
"""Does a service see a request that frps has not seen?  smuggle.py FRPS FRPC

Sends a corpus of requests that can be read in two ways through a vhost to nginx, Apache, Node, Python and Go, as many
of them as this machine has. Each hides a request for /hidden where a body, a field or a chunk is; none of the
services may see it. Prints how frps answered each, and what was seen. Run it in a network namespace of its own:

    unshare -n sh -c 'ip link set lo up; exec python3 bench/attacks/smuggle.py target/release/frps target/release/frpc'
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

PORT, VHOST, FIRST = 40100, 40180, 40300
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: HOST\r\n\r\n"
NODE = """require('http').createServer((q, a) => { require('fs').appendFileSync(process.argv[3], q.method + ' ' + q.url + '\\n');
q.on('data', () => {}); q.on('end', () => a.end('ok')); q.on('error', () => {}); }).listen(+process.argv[2], '127.0.0.1')"""
PYTHON = """import sys; from http.server import *
class H(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        open(sys.argv[2], 'a').write(self.command + ' ' + self.path + '\\n')
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'ok')
    do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_GET
ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()"""
GO = """package main
import ("io"; "net/http"; "os")
func main() { f, _ := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0600)
http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
io.WriteString(f, r.Method+" "+r.RequestURI+"\\n"); io.Copy(io.Discard, r.Body); io.WriteString(w, "ok") })) }"""
NGINX = """daemon off; pid %(home)s/nginx.pid; error_log %(home)s/error.log; events {}
http { log_format seen '$request'; access_log %(log)s seen; client_body_temp_path %(home)s/t; proxy_temp_path %(home)s/t;
fastcgi_temp_path %(home)s/t; uwsgi_temp_path %(home)s/t; scgi_temp_path %(home)s/t;
server { listen 127.0.0.1:%(port)d; location / { return 200 ok; } } }"""
APACHE = """ServerRoot %(home)s
PidFile %(home)s/apache.pid
Listen 127.0.0.1:%(port)d
ServerName a
ErrorLog %(home)s/apache.error
DocumentRoot %(home)s
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LogFormat "%%r" seen
CustomLog %(log)s seen
"""


def services(home):
    """Name, port and log of each that is here; started."""
    port, here = FIRST, []
    for name in ["node", "python", "go", "nginx", "apache"]:
        port, log, made = port + 1, f"{home}/{name}.seen", f"{home}/{name}.made"
        values = {"home": home, "log": log, "port": port}
        if name == "node" and shutil.which("node"):
            command = ["node", "-e", NODE, "--", str(port), log]
            open(f"{made}.js", "w").write(NODE)
            command = ["node", f"{made}.js", str(port), log]
        elif name == "python":
            command = [sys.executable, "-c", PYTHON, str(port), log]
        elif name == "go" and shutil.which("go"):
            open(f"{home}/main.go", "w").write(GO)
            env = dict(os.environ, GOCACHE=f"{home}/cache", GO111MODULE="off")
            if subprocess.run(["go", "build", "-o", made, f"{home}/main.go"], env=env).returncode:
                continue
            command = [made, str(port), log]
        elif name == "nginx" and shutil.which("nginx"):
            open(made, "w").write(NGINX % values)
            command = ["nginx", "-c", made, "-e", f"{home}/error.log"]
        elif name == "apache" and shutil.which("apache2"):
            open(made, "w").write(APACHE % values)
            command = ["apache2", "-X", "-f", made]
        else:
            continue
        here.append((name, port, log, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))
    return here


def corpus():
    """Label and bytes; HOST stands for the vhost."""
    def post(label, fields, body, line=b"POST / HTTP/1.1"):
        yield label, line + b"\r\nHost: HOST\r\n" + fields + b"\r\n" + body

    end = b"0\r\n\r\n"
    length = b"Content-Length: %d\r\n" % len(end + HIDDEN)
    for te in [b"chunked", b" chunked", b"\tchunked", b"chunked ", b"Chunked", b"chunked,", b",chunked", b"xchunked", b"chunked, identity",
               b"identity, chunked", b"gzip, chunked", b"chunked, chunked", b"\x0bchunked", b"chunked\x00", b'"chunked"', b"chunked;q=1"]:
        yield from post(f"CL.TE {te!r}", length + b"Transfer-Encoding:" + te + b"\r\n", end + HIDDEN)
        yield from post(f"TE.CL {te!r}", b"Transfer-Encoding:" + te + b"\r\nContent-Length: 3\r\n", b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n" + end)
    for name in [b"Transfer-Encoding ", b"Transfer_Encoding", b" Transfer-Encoding", b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding",
                 b"Transfer-Encoding\x00", b"Transfer-encod\xefng", b"Foo: bar\r\n\tTransfer-Encoding"]:
        yield from post(f"name {name!r}", length + name + b": chunked\r\n", end + HIDDEN)
    for size in [b"0, 5", b"+5", b"-0", b"0x0", b" 0", b"0 ", b"00", b"5\r\nContent-Length: 0", b"0\r\nContent-Length: 5", b"0;", b"1_0", b"\xb25", b"0\x00",
                 b"18446744073709551616", b"99999999999999999999", b""]:
        yield from post(f"length {size!r}", b"Content-Length: " + size + b"\r\n", HIDDEN if size.strip() not in (b"00",) else b"")
    for chunk in [b"0x5\r\nhello\r\n", b"5 \r\nhello\r\n", b"5;a=\"\n\"\r\nhello\r\n", b"5\nhello\r\n", b"5\rhello\r\n", b"5\r\nhello\n", b"5\r\nhelloX\r\n",
                  b"-1\r\n", b"fffffffffffffffff\r\n", b"5;\x00\r\nhello\r\n", b"+5\r\nhello\r\n", b"5\r\nhello", b"g\r\n", b"\r\n5\r\nhello\r\n", b"5;a\rb\r\nhello\r\n"]:
        yield from post(f"chunk {chunk!r}", b"Transfer-Encoding: chunked\r\n",
                        chunk + b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n" + end)
        # The size of the first chunk read otherwise, what follows would be a request.
    yield from post("trailer", b"Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n", b"5\r\nhello\r\n0\r\nContent-Length: 0\r\nX: " + HIDDEN.replace(b"\r\n", b" ") + b"\r\n\r\n")
    yield from post("1.0 chunked", b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n" + end, b"POST / HTTP/1.0")
    yield from post("GET with a body", b"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN, b"GET / HTTP/1.1")
    yield from post("expect", b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN)
    yield from post("upgrade", b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN)
    yield from post("h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN)
    yield from post("connection names length", b"Connection: Content-Length\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN)
    yield from post("connection names te", b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n" + end)
    for line in [b"POST /\r\nX: HTTP/1.1", b"POST  / HTTP/1.1", b"POST / HTTP/1.1 ", b"POST / HTTP/1.9", b"POST / HTTP/2.0", b"POST\t/ HTTP/1.1", b"POST /\x00 HTTP/1.1",
                 b"POST /\x0b HTTP/1.1", b"POST / HTTP/01.1", b"post / HTTP/1.1", b"\x00POST / HTTP/1.1"]:
        yield from post(f"line {line!r}", b"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN, line)


def ask(host, data):
    """Status lines of what comes back within a moment of silence."""
    got = b""
    with socket.create_connection(("127.0.0.1", VHOST), timeout=2) as user:
        user.settimeout(0.25)
        try:
            user.sendall(data.replace(b"HOST", host.encode()))
            while more := user.recv(65536):
                got += more
        except OSError:
            pass
    return [part[:3].decode("latin1") for part in got.split(b"HTTP/1.1 ")[1:]]


def attack(name, log):
    """How many requests of the corpus let the service see one that frps has not."""
    honest = b"GET /honest HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
    host, codes, shown = f"{name}.example", {}, []
    ready = ask(host, honest)
    for label, data in corpus():
        size = os.path.getsize(log) if os.path.exists(log) else 0
        answers = ask(host, data)
        after = ask(host, honest)
        with open(log, errors="replace") as file:
            file.seek(size)
            seen = file.read().splitlines()
        told = "+".join(answers) or "closed"
        codes[told] = codes.get(told, 0) + 1
        # A request behind the first is the user's own where it was answered as one.
        hidden = any("hidden" in line for line in seen)
        if hidden and answers.count("200") < len(seen) - 1 or after != ["200"]:
            shown.append((label, answers, after, seen))
    text = [f"  {name}: ready {ready}, answers {codes}, seen what frps has not: {len(shown)}"]
    print("\n      ".join(text + [" ".join(map(str, one)) for one in shown[:6]]), flush=True)
    return len(shown)


def main():
    frps, frpc = sys.argv[1:3]
    home = tempfile.mkdtemp()
    here = services(home)
    open(f"{home}/frps.toml", "w").write(f"bindPort = {PORT}\nvhostHTTPPort = {VHOST}\n")
    proxies = "".join(f'[[proxies]]\nname = "{name}"\ntype = "http"\nlocalPort = {port}\ncustomDomains = ["{name}.example"]\n'
                      for name, port, _, _ in here)
    open(f"{home}/frpc.toml", "w").write(f'serverAddr = "127.0.0.1"\nserverPort = {PORT}\nloginFailExit = false\n{proxies}')
    programs = [subprocess.Popen([program, "-c", f"{home}/{name}.toml"], stdout=subprocess.DEVNULL)
                for program, name in [(frps, "frps"), (frpc, "frpc")]]
    time.sleep(2)
    with ThreadPoolExecutor(len(here)) as pool:
        worst = sum(pool.map(lambda one: attack(one[0], one[2]), here))
    for process in programs + [process for _, _, _, process in here]:
        process.terminate()
    return worst > 0


sys.exit(main())
