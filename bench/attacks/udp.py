#!/usr/bin/env python3
"""Datagrams whose sender may be forged: what comes back to it, and floods.  udp.py NAME=DIR... [WORD...]

*Reflection*: one sender says one thing and then nothing, for 12 s (Go's longest repeats: 35 s); bytes that came back
for each that went. *Floods*: first packets of QUIC, and packets of connections that there are not, for FLOOD (5)
seconds as fast as one core sends them, from 1,000 ports; the most memory, CPU, packets answered, the longest wait of the
users of a tunnel over QUIC, and what a new client over QUIC takes from its start to its first user meanwhile.
"""
import hashlib
import hmac
import multiprocessing
import os
import random
import select
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lib import *

FLOOD, WAIT = float(os.environ.get("FLOOD", "5")), float(os.environ.get("WAIT", "12"))
QUIC, LATER = BIND + 3, USERS + 20
SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")  # RFC 9001, section 5.2


def expand(secret, label, length):
    """HKDF-Expand-Label (RFC 8446, section 7.1), for at most one block."""
    label = b"tls13 " + label
    info = struct.pack(">H", length) + bytes([len(label)]) + label + b"\0\1"
    return hmac.new(secret, info, hashlib.sha256).digest()[:length]


def keys(connection):
    secret = expand(hmac.new(SALT, connection, hashlib.sha256).digest(), b"client in", 32)
    return expand(secret, b"quic key", 16), expand(secret, b"quic iv", 12), expand(secret, b"quic hp", 16)


def varint(data, at):
    length = 1 << (data[at] >> 6)
    return int.from_bytes(data[at:at + length], "big") & (1 << (8 * length - 2)) - 1, at + length


def mask(key, sample):
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(sample)


class Initial:
    """A first packet, taken apart, so that it can be made for other connections."""

    def __init__(self, packet):
        at = 6 + packet[5]
        self.connection, at = packet[6:at], at + 1 + packet[at]
        length, at = varint(packet, at)  # of the token
        length, at = varint(packet, at + length)
        key, iv, header_key = keys(self.connection)
        hidden = mask(header_key, packet[at + 4:at + 20])
        first = packet[0] ^ hidden[0] & 15
        size = (first & 3) + 1
        number = bytes(a ^ b for a, b in zip(packet[at:at + size], hidden[1:]))
        self.head = bytes([first]) + packet[1:at] + number
        self.size, self.number = size, int.from_bytes(number, "big")
        nonce = self.nonce(iv)
        self.plain = AESGCM(key).decrypt(nonce, packet[at + size:at + length], self.head)

    def nonce(self, iv):
        return (int.from_bytes(iv, "big") ^ self.number).to_bytes(12, "big")

    def made_for(self, connection):
        key, iv, header_key = keys(connection)
        head = self.head[:6] + connection + self.head[6 + len(self.connection):]
        body = AESGCM(key).encrypt(self.nonce(iv), self.plain, head)
        at = len(head) - self.size
        packet = bytearray(head + body)
        hidden = mask(header_key, bytes(packet[at + 4:at + 20]))
        packet[0] ^= hidden[0] & 15
        for n in range(self.size):
            packet[at + n] ^= hidden[1 + n]
        return bytes(packet)


def first_packets(path):
    """What frpc says first over QUIC, a datagram each."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HONEST, QUIC + 50))
    sock.settimeout(10)
    client = frpc(path, ECHO, 'transport.protocol = "quic"\n', QUIC + 50, None)
    try:
        packets = []
        while not packets or packets[-1][6:6 + packets[-1][5]] == packets[0][6:6 + packets[0][5]]:
            packet = sock.recv(65536)
            if not packet or not packet[0] & 0x80 or len(packet) < 1000 or packet in packets:
                continue
            packets.append(packet)
            sock.settimeout(0.2)
    except TimeoutError:
        pass
    client.stop()
    sock.close()
    made = [Initial(packet) for packet in packets]
    # What was sent again says the same with another number.
    return [one for n, one in enumerate(made) if one.plain not in [other.plain for other in made[:n]]][:2]


def fresh(packets):
    """The first packets of a new connection."""
    connection = os.urandom(len(packets[0].connection))
    return [packet.made_for(connection) for packet in packets]


def reflection(port, datagrams, wait):
    """Bytes that came back for each that went."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((ATTACKER, 0))
        for datagram in datagrams:
            sock.sendto(datagram, (HONEST, port))
        end, back = time.time() + wait, 0
        while time.time() < end:
            if select.select([sock], [], [], max(0, end - time.time()))[0]:
                try:
                    back += len(sock.recv(65536))
                except OSError:
                    pass
    sent = sum(map(len, datagrams))
    return f"{back / sent:.1f} ({back} for {sent} B)"


def kcp(conversation, data):
    """A first segment without error correction, as by KCP's protocol."""
    return struct.pack("<IBBHIIII", conversation, 81, 0, 128, 1, 0, 0, len(data)) + data


def short_header(_):
    return [b"\x40" + os.urandom(1199)]


REFLECTIONS = {
    "quic: first packets of a connection": (QUIC, fresh),
    "quic: an unknown version": (QUIC, lambda p: [b"\xc0\x1a\x2a\x3a\x4a\x08" + bytes(8) + b"\x08" + bytes(8) + bytes(1178)]),
    "quic: the same, short": (QUIC, lambda p: [b"\xc0\x1a\x2a\x3a\x4a\x08" + bytes(8) + b"\x08" + bytes(8) + bytes(20)]),
    "quic: of no connection": (QUIC, short_header),
    "quic: of no connection, short": (QUIC, lambda p: [b"\x40" + os.urandom(40)]),
    "quic: a damaged first packet": (QUIC, lambda p: [fresh(p)[0][:-1] + b"\0"]),
    "kcp: one byte": (BIND, lambda p: [kcp(random.getrandbits(32), b"x")]),
    "kcp: a refused login on the mux": (BIND, lambda p: [kcp(random.getrandbits(32), on_stream(message("Login", version="1")))]),
    "kcp: pings of the mux": (BIND, lambda p: [kcp(random.getrandbits(32), mux_frame(PING, SYN, 0, 1) * 100)]),
    "kcp: of no session": (BIND, lambda p: [struct.pack("<IBBHIIII", 7, 82, 0, 128, 1, 9, 9, 0)]),
    "udp proxy, its service echoes": (UDP_USERS, lambda p: [b"x" * 1000]),
}


def flood(make, packets, stop, counts):
    """Sends from many ports until it is told to stop."""
    socks = []
    for _ in range(1000):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((ATTACKER, 0))
        sock.setblocking(False)
        socks.append(sock)
    sent = back = 0
    while not stop.value:
        for sock in socks:
            for packet in make(packets):
                try:
                    sock.sendto(packet, (HONEST, QUIC))
                    sent += 1
                except OSError:
                    pass
            try:
                while True:
                    sock.recv(65536)
                    back += 1
            except OSError:
                pass
            if stop.value:
                break
        counts[0], counts[1] = sent, back


FLOODS = {"first packets of QUIC": fresh, "packets of no connection": short_header}


def under_flood(path, make, packets):
    server = frps(path)
    over_quic = 'transport.protocol = "quic"\n'
    client = frpc(path, ECHO, over_quic, QUIC)
    server.watch()
    stop, counts = multiprocessing.Value("b", 0), multiprocessing.Array("q", 2)
    flooding = in_process(flood, make, packets, stop, counts)
    until(lambda: counts[0] > 0, 10)
    people, since, first = Honest(user=lambda: served(USERS)), time.time(), counts[0]
    later = frpc(path, proxy("later", "tcp", localPort=SERVICE, remotePort=LATER), over_quic, QUIC, LATER)
    took = f"{time.time() - since:.1f} s" if served(LATER) else "never"
    until(lambda: time.time() - since > FLOOD, FLOOD)
    seconds, said = time.time() - since, people.leave()
    memory, _, cpu = server.took()
    stop.value = 1
    flooding.join(5)
    flooding.kill()
    rate, back = (counts[0] - first) / seconds, counts[1] / max(counts[0], 1)
    lives = server.lives()
    for program in (later, client, server):
        program.stop()
    if not lives:
        return "ended"
    return f"{rate:,.0f}/s, {back:.2f} answers each: +{memory:.0f} MB, {cpu:.0f} %, user {said['user']}, new client {took}"


def main():
    named, words = releases()
    services = [echo_service(), echo_service(SERVICE + 5, socket.SOCK_DGRAM)]
    rows, floods = {}, {}
    for name, path in named.items():
        packets = first_packets(path)
        server = frps(path)
        client = frpc(path, ECHO + proxy("udp", "udp", localPort=SERVICE + 5, remotePort=UDP_USERS))
        wanted = [what for what in REFLECTIONS if not words or any(word in what for word in words)]
        with ThreadPoolExecutor(len(REFLECTIONS)) as pool:
            said = pool.map(lambda what: reflection(REFLECTIONS[what][0], REFLECTIONS[what][1](packets), WAIT), wanted)
            for what, ratio in zip(wanted, said):
                rows.setdefault(what, {})[name] = ratio
        client.stop()
        server.stop()
        for what, make in FLOODS.items():
            if not words or any(word in what for word in words):
                floods.setdefault(what, {})[name] = under_flood(path, make, packets)
                print(f"  {what}, {name}: {floods[what][name]}", file=sys.stderr, flush=True)
    if rows:
        table("bytes back for each that went", rows)
    if floods:
        table(f"UDP floods, {FLOOD:.0f} s", floods)
    for service in services:
        service.terminate()



main()
