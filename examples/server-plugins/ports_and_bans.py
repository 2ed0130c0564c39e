#!/usr/bin/env python3
"""Server plugin: which user may have which ports, and who is not let in.

    python3 ports_and_bans.py rules.json --listen 127.0.0.1:9001

`rules.json`, which is read again when it has changed:

    {
        "ports": {"alice": ["6000-6010", "7000"], "*": ["20000-29999"]},
        "banned": ["203.0.113.0/24", "2001:db8::7"]
    }

"ports" are those of tcp and udp proxies by user; "*" has those of all others, and without it
they have none. "banned" are addresses of users, and of clients. frps needs:

    [[httpPlugins]]
    name = "ports-and-bans"
    addr = "127.0.0.1:9001"
    path = "/handler"
    ops = ["Login", "NewProxy", "NewUserConn"]
"""

import ipaddress
import json

from frp_plugin import ACCEPT, ReloadedFile, arguments, reject, serve


def parse(text):
    rules = json.loads(text)
    ports = {user: [span(one) for one in some] for user, some in rules.get("ports", {}).items()}
    banned = [ipaddress.ip_network(one) for one in rules.get("banned", [])]
    return ports, banned


def span(text):
    first, _, last = str(text).partition("-")
    return range(int(first), int(last or first) + 1)


def main():
    args = arguments(__doc__, "file with the rules, JSON")
    rules = ReloadedFile(args.file, parse)

    def check_address(address):
        # IP:port, with an IPv6 address in brackets; a zone is no part of what is banned.
        host = address.rpartition(":")[0].strip("[]").partition("%")[0]
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            return ACCEPT
        if any(ip in network for network in rules.get()[1]):
            return reject(f"{ip} is banned")
        return ACCEPT

    def new_proxy(content):
        if content.get("proxy_type", "tcp") not in ("", "tcp", "udp"):
            return ACCEPT
        user, port = content["user"]["user"], content.get("remote_port", 0)
        ports = rules.get()[0]
        allowed = ports.get(user, ports.get("*", []))
        if port == 0:
            return reject("remotePort is not set: ask for one of your ports")
        if not any(port in some for some in allowed):
            return reject(f"port {port} is not one of yours")
        return ACCEPT

    serve(
        {
            "Login": lambda content: check_address(content.get("client_address", "")),
            "NewProxy": new_proxy,
            "NewUserConn": lambda content: check_address(content.get("remote_addr", "")),
        },
        args.listen,
    )


if __name__ == "__main__":
    main()
