"""The services behind the smuggling corpus. Each writes a line for each request that it saw: method, target, host,
whether frps had passed it on (`X-Forwarded-For`), and says in `X-Target` what it takes its answer to be for."""
import os
import shutil
import subprocess
import tempfile

PYTHON = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
log = open(sys.argv[2], "a", buffering=1)
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    def answer(self):
        print(self.command, self.path, self.headers.get("Host"), self.headers.get("X-Forwarded-For"), sep="\\t", file=log)
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                self.rfile.read(size), self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("X-Target", self.path.encode("unicode_escape").decode())
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)
ThreadingHTTPServer.request_queue_size = 256
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
NODE = """
const fs = require('fs')
const [port, file] = process.argv.slice(2)
const clean = text => String(text).replace(/[^!-~]/g, '?')
require('http').createServer((request, answer) => {
  const h = request.headers
  fs.appendFileSync(file, [request.method, clean(request.url), clean(h.host), h['x-forwarded-for'] || 'None'].join('\\t') + '\\n')
  request.resume()
  request.on('end', () => { answer.setHeader('X-Target', clean(request.url)); answer.end('ok') })
}).listen(port, '127.0.0.1')
"""
GO = """
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	log, _ := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := r.Header.Get("X-Forwarded-For")
		if from == "" {
			from = "None"
		}
		fmt.Fprintf(log, "%s\\t%s\\t%s\\t%s\\n", r.Method, r.RequestURI, r.Host, from)
		io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Target", r.RequestURI)
		io.WriteString(w, "ok")
	}))
}
"""
NGINX = """
daemon off; master_process off; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format seen '$request_method\t$request_uri\t$http_host\t$http_x_forwarded_for';
  access_log {file} seen;
  client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ add_header X-Target $request_uri always; return 200 ok; }} }}
}}
"""
APACHE = """
ServerRoot {home}
PidFile {home}/apache.pid
ErrorLog {home}/error.log
Listen 127.0.0.1:{port}
ServerName h.test
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LogFormat "%m\\t%U%q\\t%{{Host}}i\\t%{{X-Forwarded-For}}i" seen
CustomLog {file} seen
DocumentRoot {home}
KeepAliveTimeout 30
Header always set X-Target "expr=%{{REQUEST_URI}}"
"""


class Backend:
    """One of them, at `port`; answers to `host`, which has six letters as all of them have."""

    def __init__(self, name, host, port):
        self.name, self.host, self.port = name, host, port
        self.home = tempfile.mkdtemp(prefix="attack.")
        os.chmod(self.home, 0o755)
        self.file = f"{self.home}/seen"
        open(self.file, "w").close()
        os.chmod(self.file, 0o666)
        self.process = subprocess.Popen(getattr(self, name)(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.at = 0

    def _write(self, name, text):
        with open(f"{self.home}/{name}", "w") as out:
            out.write(text)
        return f"{self.home}/{name}"

    def python(self):
        return ["python3", self._write("backend.py", PYTHON), str(self.port), self.file]

    def node(self):
        return ["node", self._write("backend.js", NODE), str(self.port), self.file]

    def go(self):
        made = subprocess.run(["go", "build", "-o", f"{self.home}/backend", self._write("backend.go", GO)],
                              cwd=self.home, env={**os.environ, "GO111MODULE": "off"})
        if made.returncode:
            raise OSError("go build failed")
        return [f"{self.home}/backend", str(self.port), self.file]

    def nginx(self):
        return ["nginx", "-c", self._write("nginx.conf", NGINX.format(**vars(self)))]

    def apache(self):
        return ["apache2", "-D", "FOREGROUND", "-f", self._write("apache.conf", APACHE.format(**vars(self)))]

    def seen(self):
        """The requests that it has seen since the last time."""
        with open(self.file, errors="replace") as file:
            file.seek(self.at)
            lines = file.read().splitlines()
            self.at = file.tell()
        return [line.split("\t") for line in lines if line.count("\t") >= 3]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


NEEDS = {"nginx": "nginx", "apache": "apache2", "node": "node", "python": "python3", "go": "go"}


def backends(first_port):
    """Those whose programs are there."""
    there = [name for name, program in NEEDS.items() if shutil.which(program, path=os.environ["PATH"] + ":/usr/local/go/bin:/usr/sbin")]
    hosts = {"nginx": "x.test", "apache": "h.test", "node": "n.test", "python": "p.test", "go": "g.test"}
    return [Backend(name, hosts[name], first_port + n) for n, name in enumerate(there)]
