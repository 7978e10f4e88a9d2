#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What nobody should send: for badinput.sh.

intruder.py tunnel ADDRESS CASE [SLOT]    one tunnel packet to ADDRESS, from this host
intruder.py streams SOCKET MOVE SERVICE   state streams to the agent at SOCKET, good and bad

`streams` prints a line of JSON for each: what was sent, the status of the answer, the answer.
"""
import http.client
import json
import socket
import struct
import sys
import zlib

GENEVE_PORT = 6081
TEB, FENCE = 0x6558, 0x88B5  # what a tunnel packet holds: a frame, a fence
DATA, KIND_FENCE = 0, 1


# ---- tunnel packets: bpf/abi.h ----------------------------------------------------------------


def inner_frame():
    payload = b"intruder"
    udp = struct.pack("!HHHH", 7777, 7778, 8 + len(payload), 0) + payload
    ip = bytearray(
        struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                    socket.inet_aton("198.18.1.2"), socket.inet_aton("198.18.2.2")))
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip[10:12] = struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
    return b"\2\0\0\0\0\1\2\0\0\0\0\2" + struct.pack("!H", 0x0800) + bytes(ip) + udp


def geneve(vni=1, slot=0, hops=1, kind=DATA, protocol=TEB, option_class=0xFF46, inner=None):
    head = struct.pack("!BBH", 4, 0, protocol) + vni.to_bytes(3, "big") + b"\0"
    option = struct.pack("!HBBHBBIHH", option_class, 0x46, 3, slot, hops, kind, 0, 7777, 7778)
    return head + option + (inner_frame() if inner is None else inner)


def fence():
    return struct.pack("!QQHHHH", 0x1234567890ABCDEE, 1000, 0, 0, 0, 0)


CASES = {
    "good": {},
    "vni": {"vni": 9},
    "vni-huge": {"vni": 0xFFFF01},
    "slot": {"slot": 60000},
    "hops": {"hops": 3},
    "option": {"option_class": 0x0101},
    "kind": {"kind": 77},
    "inner-empty": {"inner": b""},
    "inner-short": {"inner": inner_frame()[:20]},
    "fence": {"kind": KIND_FENCE, "protocol": FENCE, "inner": fence()},
}


def tunnel(address, case, slot="0"):
    packet = geneve(**{"slot": int(slot), **CASES[case]})
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.sendto(packet, (address, GENEVE_PORT))


# ---- state streams: lib/stream_wire.h ---------------------------------------------------------

SCHEMA = "per-flow fw_flows key 40 value 48 state 32\npackets 32 8 2 unsigned sum\n"
BYTE_ORDER = 0x0102


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def header(move, service=1, token=0x1000, schema=SCHEMA, epoch=1 << 20, final=0, version=2,
           order=BYTE_ORDER, value_size=48, schema_hash=None):
    text = schema.encode()
    if schema_hash is None:
        schema_hash = fnv1a(text)

    def wire(crc):
        return struct.pack("<IHHIIIIIIIIQQQ24s8x", 0x54534646, version, order, crc, len(text),
                           service, epoch, 0, final, 40, value_size, token, 0, schema_hash,
                           move.encode())

    return wire(zlib.crc32(wire(0) + text)) + text


def packed(data):
    """All its words, whatever the record before was."""
    words = len(data) // 4
    return ((1 << words) - 1).to_bytes((words + 7) // 8, "little") + data


def record(service=1, flow=0):
    mapped = b"\0" * 10 + b"\xff\xff"
    key = (mapped + socket.inet_aton("198.18.1.2") + mapped + socket.inet_aton("198.18.2.2") +
           struct.pack("!HH", 6000 + flow, 6000) + struct.pack("<BBH", 17, 0, service))
    value = struct.pack("<QIIQHHI", 1 << 62, 0, 0, 0, 0, 0, 0) + struct.pack("<QQ", 5, 6)
    return b"\1" + packed(key) + packed(value)


def block(records):
    data = b"".join(records)

    def wire(crc):
        return struct.pack("<IIII", 0x4B424646, crc, len(data), len(records))

    return wire(zlib.crc32(wire(0) + data)) + data


def end(blocks, upserts):
    def wire(crc):
        return struct.pack("<IIQQQ", 0x44454646, crc, blocks, upserts, 0)

    return wire(zlib.crc32(wire(0)))


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def post(path, move, name, body, final=0):
    connection = Unix(path)
    try:
        connection.request("POST", f"/v1/moves/{move}/state?round=0&final={final}", body,
                           {"Content-Type": "application/vnd.flowferry.state"})
        answer = connection.getresponse()
        text = answer.read().decode()
        status = answer.status
    except (BrokenPipeError, ConnectionResetError) as error:
        status, text = 0, str(error)
    finally:
        connection.close()
    print(json.dumps({"name": name, "status": status, "answer": text}), flush=True)


def streams(path, move, service):
    good = header(move) + block([record()]) + end(1, 1)

    post(path, move, "garbage", b"\xde\xad" * 500)
    post(path, move, "empty", b"")
    for cut in sorted({1, 50, 95, 96, 100, len(good) - 33, len(good) - 32, len(good) - 1}):
        post(path, move, f"cut-{cut}", good[:cut])
        post(path, move, f"cut-final-{cut}", good[:cut], final=1)
    for at in range(0, len(good), 7):
        bad = bytearray(good)
        bad[at] ^= 0x10
        post(path, move, f"flip-{at}", bytes(bad))
    rest = block([record()]) + end(1, 1)
    post(path, move, "more", good + b"x")
    post(path, move, "wrong-count", header(move) + block([record()]) + end(1, 2))
    post(path, move, "version", header(move, version=1) + rest)
    post(path, move, "byte-order", header(move, order=0x0201) + rest)
    post(path, move, "other-token", header(move, token=0x2000) + rest)
    post(path, move, "other-move", header("another") + rest)
    post(path, move, "old-epoch", header(move, epoch=0) + rest)
    post(path, move, "other-service", header(move, service=service + 1) + rest)
    post(path, move, "flow-of-other-service",
         header(move) + block([record(service=service + 1)]) + end(1, 1))
    post(path, move, "flow-not-moved", header(move) + block([record(flow=1)]) + end(1, 1))
    post(path, move, "schema-hash", header(move, schema_hash=1) + rest)
    post(path, move, "value-size", header(move, value_size=56) + rest)
    for name, schema in (
            ("schema-foreign", SCHEMA.replace("packets", "barrels")),
            ("schema-narrow", SCHEMA.replace("packets 32 8 2", "state 32 8 2")),
            ("schema-outside", SCHEMA.replace("packets 32", "packets 4000")),
            ("schema-garbage", "per-flow\n" * 50),
    ):
        post(path, move, name, header(move, schema=schema) + rest)
    post(path, "no-such-move", "no-such-move", good)
    post(path, move, "good", good)


if __name__ == "__main__":
    if sys.argv[1] == "tunnel":
        tunnel(*sys.argv[2:])
    else:
        streams(sys.argv[2], sys.argv[3], int(sys.argv[4]))
