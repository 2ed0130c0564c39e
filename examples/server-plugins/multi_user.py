#!/usr/bin/env python3
"""Server plugin: each user of frpc has a token of its own.

    python3 multi_user.py users --listen 127.0.0.1:9000

`users` has a line USER=TOKEN for each; it is read again when it has changed. frpc says who
it is by `user = "alice"` and `metadatas.token = "..."`. frps needs:

    [[httpPlugins]]
    name = "multi-user"
    addr = "127.0.0.1:9000"
    path = "/handler"
    ops = ["Login", "NewProxy"]
"""

import hmac

from frp_plugin import ACCEPT, ReloadedFile, arguments, reject, serve


def parse(text):
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        user, separator, token = (part.strip() for part in line.partition("="))
        if not (user and separator and token):
            raise ValueError(f"line {number} is no USER=TOKEN")
        users[user] = token
    return users


def main():
    args = arguments(__doc__, "file with a line USER=TOKEN for each user")
    users = ReloadedFile(args.file, parse)

    def login(content):
        user, given = content.get("user", ""), (content.get("metas") or {}).get("token", "")
        if not user or not given:
            return reject("user or metadatas.token is empty")
        token = users.get().get(user)
        # As long for a user that is not known.
        known = hmac.compare_digest((token or "-").encode(), given.encode())
        return ACCEPT if known and token else reject("invalid user or metadatas.token")

    def new_proxy(content):
        # frpc puts `user.` before each name; another client could take the names of others.
        user, name = content["user"]["user"], content.get("proxy_name", "")
        if not name.startswith(f"{user}."):
            return reject(f"the name of a proxy of {user} begins with {user}.")
        return ACCEPT

    serve({"Login": login, "NewProxy": new_proxy}, args.listen)


if __name__ == "__main__":
    main()
