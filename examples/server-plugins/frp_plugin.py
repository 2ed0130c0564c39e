"""What every server plugin of frp needs: HTTP, JSON and the three answers.

A plugin is a function for each operation that takes the content and says
ACCEPT, reject("why") or change(content). Only Python's standard library is needed.
"""

import argparse
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ACCEPT = {"reject": False, "unchange": True}

# A request has one message of frp in it, which has at most 64 kB.
MAX_BODY = 256 * 1024


def reject(reason):
    """Refuses; the client is told the reason, which must not be empty."""
    return {"reject": True, "reject_reason": reason}


def change(content):
    """Accepts, with this content in place of what the client wants."""
    return {"reject": False, "unchange": False, "content": content}


class ReloadedFile:
    """A file that is read again whenever it has changed.

    One that cannot be read leaves what was read before in force.
    """

    def __init__(self, path, parse):
        self.path, self.parse = path, parse
        self.stamp, self.value = self._stamp(), None
        self.value = self._read()

    def get(self):
        try:
            stamp = self._stamp()
            if stamp != self.stamp:
                self.value, self.stamp = self._read(), stamp
        except (OSError, ValueError) as error:
            print(f"{self.path}: {error}; the former content stays", file=sys.stderr)
        return self.value

    def _stamp(self):
        found = os.stat(self.path)
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self):
        with open(self.path, encoding="utf-8") as file:
            return self.parse(file.read())


def serve(operations, listen):
    """Answers frps at HOST:PORT for ever. `operations` are functions by their names."""

    class Handler(BaseHTTPRequestHandler):
        # frps keeps its connections.
        protocol_version = "HTTP/1.1"
        timeout = 120

        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_BODY:
                self.close_connection = True
                return self.answer(413, {})
            body = self.rfile.read(length)
            try:
                op = parse_qs(urlsplit(self.path).query)["op"][0]
                content = json.loads(body)["content"]
            except (KeyError, TypeError, ValueError):
                return self.answer(400, {})
            decide = operations.get(op)
            # What is not ours to decide passes.
            self.answer(200, decide(content) if decide else ACCEPT)

        def answer(self, status, said):
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    host, _, port = listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    server.daemon_threads = True
    print(f"listening on {host}:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


def arguments(description, file_help):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("file", help=file_help)
    parser.add_argument("--listen", default="127.0.0.1:9000", metavar="HOST:PORT")
    return parser.parse_args()
