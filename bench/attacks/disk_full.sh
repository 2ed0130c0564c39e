#!/bin/bash
# What happens when the disk of log and store is full?  disk_full.sh FRPS FRPC
#
# Both programs keep their log and store on a file system of 1 MiB, which is filled, and then emptied again. Prints
# whether users are served throughout, and whether log and store go on afterwards. Takes root; all of it happens in
# namespaces of its own.
set -u
if [ "${INSIDE:-}" != 1 ]; then INSIDE=1 exec unshare -nm bash "$0" "$(realpath "$1")" "$(realpath "$2")"; fi
ip link set lo up
home=$(mktemp -d) && mount -t tmpfs -o size=1m none "$home" && mkdir "$home"/{a,b} && cd "$home" || exit 1
conf=$(mktemp -d)
cat >"$conf/frps.toml" <<EOF
bindPort = 40100
auth.token = "t"
log.to = "$home/a/frps.log"
log.level = "trace"
store.path = "$home/a/traffic.json"
webServer.port = 40101
webServer.user = "a"
webServer.password = "b"
EOF
cat >"$conf/frpc.toml" <<EOF
serverAddr = "127.0.0.1"
serverPort = 40100
loginFailExit = false
auth.token = "t"
log.to = "$home/b/frpc.log"
log.level = "trace"
store.path = "$home/b/store.json"
webServer.port = 40102
webServer.user = "a"
webServer.password = "b"
[[proxies]]
name = "web"
type = "tcp"
localPort = 40300
remotePort = 40200
EOF
"$1" verify -c "$conf/frps.toml" >/dev/null 2>&1 || sed -i /store.path/d "$conf/frps.toml" # frp has none there
python3 -m http.server -d "$conf" --bind 127.0.0.1 40300 >/dev/null 2>&1 & service=$!
"$1" -c "$conf/frps.toml" & frps=$!
"$2" -c "$conf/frpc.toml" & frpc=$!
trap 'kill $service $frps $frpc; wait; umount -l "$home"; rm -rf "$conf"' EXIT
users() { # how many of 20 are served
    local served=0
    for _ in $(seq 20); do curl -sf -m 3 -o /dev/null http://127.0.0.1:40200/frpc.toml && served=$((served + 1)); done
    echo "$served of 20"
}
store() { # adds a proxy by the API of frpc
    curl -s -m 5 -o /dev/null -w '%{http_code}' -u a:b -X POST -H 'Content-Type: application/json' \
        -d "{\"name\":\"$1\",\"type\":\"tcp\",\"tcp\":{\"localPort\":40300,\"remotePort\":$2}}" http://127.0.0.1:40102/api/store/proxies
}
for _ in $(seq 100); do curl -sf -m 1 -o /dev/null http://127.0.0.1:40200/frpc.toml && break; sleep 0.1; done
echo "  before: users $(users), store $(store one 40201)"
head -c 2M /dev/zero >"$home/filler" 2>/dev/null
echo "  full: users $(users), store $(store two 40202), store again $(store two 40202)"
echo "  what the store holds: $(python3 -c 'import json,sys; print([p["name"] for p in json.load(open(sys.argv[1]))["proxies"]])' "$home/b/store.json" 2>&1 | tail -n 1)"
for pid in $frps $frpc; do kill -0 $pid && grep -E 'VmRSS' /proc/$pid/status | tr -s '\t ' ' '; done
rm "$home/filler"
log=$(stat -c %s "$home/a/frps.log")
echo "  emptied: users $(users), store $(store two 40202), log goes on: $([ "$(stat -c %s "$home/a/frps.log")" -gt "$log" ] && echo yes || echo no)"
echo "  what the store holds: $(python3 -c 'import json,sys; print([p["name"] for p in json.load(open(sys.argv[1]))["proxies"]])' "$home/b/store.json" 2>&1 | tail -n 1)"
grep -h 'No space\|no space' "$home"/*/*.log | cut -c1-200 | tail -n 4
