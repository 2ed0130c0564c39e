#!/usr/bin/env python3
"""The clock on the wall jumps under frps, and under frpc.  clock.py NAME=DIR...

By libfaketime (Debian's package `faketime`), which stands between a program and the C library, so only for ours: Go asks
the kernel. The monotonic clock goes on as it does when an administrator sets the time. After each jump: a user whose
connection was open before, a new user, a new login, a request to the API, a frpc that is started now, and what the
program took meanwhile. `as one` means that all of it went as before.
"""
import glob
import os
import socket
import subprocess
import sys
import time

from lib import *

JUMPS = {
    "a day on": "+1d", "a day back": "-1d", "ten years on": "+3650d", "ten years back": "-3650d", "thirty years on (behind 2038)": "+10950d",
    "to January 1970": "-20700d", "back and forth, 20 times": "",
}
API = f"GET /api/serverinfo HTTP/1.1\r\nHost: {HONEST}\r\nAuthorization: Basic YTpi\r\nConnection: close\r\n\r\n".encode()


def answers(port, request):
    try:
        with socket.create_connection((HONEST, port), 3) as conn:
            conn.settimeout(3)
            conn.sendall(request)
            return b" 200 " in conn.recv(100)
    except OSError:
        return False


def says(conn):
    """Whether an open connection still carries."""
    try:
        conn.sendall(b"x" * 64)
        return exactly(conn, 64) == b"x" * 64
    except (OSError, EOFError):
        return False


def attack(path, who, jump):
    home = tempfile.mkdtemp(prefix="attack.")
    clock = f"{home}/clock"

    def set_to(text):
        with open(f"{clock}.new", "w") as out:
            out.write(text)
        os.rename(f"{clock}.new", clock)

    set_to("+0")
    library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")[0]
    moved = dict(env={**os.environ, "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": "1",
                      "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    server = frps(path, **(moved if who == "frps" else {}))
    if who == "frpc":
        os.environ.update(moved["env"])
    client = frpc(path, ECHO)
    if who == "frpc":
        for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"):
            del os.environ[name]
    target = {"frps": server, "frpc": client}[who]
    user = socket.create_connection((HONEST, USERS), 3)
    before = says(user)
    target.watch()
    for text in [jump] if jump else ["+3650d", "-3650d"] * 10:
        set_to(text)
        time.sleep(1 if jump else 0.2)
    time.sleep(2)
    fresh = frpc(path, proxy("fresh", "tcp", localPort=SERVICE, remotePort=USERS + 1), users=USERS + 1)
    said = {"the user from before": before and says(user), "a new user": served(USERS), "a login": logs_in(),
            "the API": answers(WEB, API), "a new frpc": served(USERS + 1), "the program": target.lives()}
    memory, _, cpu = target.took() if target.lives() else (0, 0, 0)
    logged = target.text().count(b"\n")
    user.close()
    for program in (fresh, client, server):
        program.stop()
    failed = [name for name, works in said.items() if not works]
    return f"{'not served: ' + ', '.join(failed) if failed else 'as one'}; +{memory:.0f} MB, {cpu:.0f} %, {logged} lines"


def main():
    named, words = releases()
    if not glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"):
        print("SKIPPED: libfaketime is not installed (Debian's package faketime)")
        return
    service, rows = echo_service(), {}
    for who in ("frps", "frpc"):
        for what, jump in JUMPS.items():
            if words and not any(word in f"{who}: {what}" for word in words):
                continue
            for name, path in named.items():
                if name != "frp":
                    rows.setdefault(f"{who}: {what}", {})[name] = attack(path, who, jump)
                    print(f"  {who}: {what}, {name}: {rows[f'{who}: {what}'][name]}", file=sys.stderr, flush=True)
    table("the clock jumps", rows)
    service.terminate()


main()
