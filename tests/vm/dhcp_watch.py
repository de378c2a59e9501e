"""Who answers DHCP: asks once a second from a port on lan, and writes down each answer.

Runs on the lab machine in a probe's namespace: `dhcp_watch.py DEVICE MAC FILE`, until it is killed.
MAC is a known machine's, so that the server needs no absence check before its offer. FILE gets
a line an answer: seconds since the epoch, the answering NIC's MAC.
"""

import random
import select
import socket
import struct
import sys
import time

DISCOVER, COOKIE = b"\x35\x01\x01", b"\x63\x82\x53\x63"  # RFC 2131, RFC 2132 section 9.6
BROADCAST_FLAG = 0x8000
IP_HEADER, UDP_HEADER = 20, 8


def discover(own: bytes, client: bytes) -> bytes:
    """An Ethernet frame with a DHCPDISCOVER of `client`, sent from the NIC `own`."""
    bootp = struct.pack(
        ">BBBBIHH16x16s192x", 1, 1, 6, 0, random.getrandbits(32), 0, BROADCAST_FLAG, client
    )
    payload = bootp + COOKIE + DISCOVER + b"\xff"
    udp = struct.pack(">HHHH", 68, 67, UDP_HEADER + len(payload), 0) + payload
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, IP_HEADER + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4
    )
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return b"\xff" * 6 + own + b"\x08\x00" + head + udp


def main(device: str, mac: str, file: str) -> None:
    """Ask and write down, for ever."""
    listening = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    listening.bind((device, 0))
    own = listening.getsockname()[4]
    client = bytes.fromhex(mac.replace(":", ""))
    asked = 0.0
    with open(file, "a", buffering=1) as log:  # noqa: PTH123 (a script, on another machine)
        while True:
            if time.monotonic() - asked >= 1:
                asked = time.monotonic()
                listening.send(discover(own, client))
            if not select.select([listening], [], [], 0.2)[0]:
                continue
            frame = listening.recv(2048)
            ports = 14 + (frame[14] & 15) * 4
            if frame[23] == 17 and frame[ports : ports + 4] == b"\x00\x43\x00\x44":
                log.write(f"{time.time():.2f} {frame[6:12].hex(':')}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
