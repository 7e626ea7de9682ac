"""A relay of packets between hosts (network namespaces), for kernels without netem: a rate, then a delay, in order.

Every host has one interface, a TUN device, whose other end is here: what it sends leaves at the host's rate, in its
order, and is with the host that it is for a delay later. Settings come as lines on standard input (`RATE DELAY`, in
bytes/s and seconds), each answered by a line; at its end the relay ends, and the devices with it. Root and Linux only.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from contextlib import suppress

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
LARGEST = 65_536
PRIORITY = 10


def device(namespace: str, name: str) -> int:
    """A TUN device within a namespace; this process stays in it until it is told otherwise."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as file:
        if libc.setns(file.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def relay(tuns: list[int], addresses: list[bytes]) -> None:
    """Hand packets on until standard input ends."""
    target = dict(zip(addresses, tuns, strict=True))
    queues: dict[int, deque[tuple[float, bytes, int]]] = {tun: deque() for tun in tuns}
    free = dict.fromkeys(tuns, 0.0)
    rate, delay = 1e9, 0.0
    while True:
        first = min((queue[0][0] for queue in queues.values() if queue), default=None)
        wait = None if first is None else max(0.0, first - time.perf_counter())
        ready, _, _ = select.select([*tuns, sys.stdin], [], [], wait)
        now = time.perf_counter()
        for each in ready:
            if each is sys.stdin:
                line = sys.stdin.readline()
                if not line:
                    return
                rate, delay = map(float, line.split())
                print("set", flush=True)
                continue
            while True:
                try:
                    packet = os.read(each, LARGEST)
                except BlockingIOError:
                    break
                if packet[16:20] in target:
                    free[each] = max(free[each], now) + len(packet) / rate
                    queues[each].append((free[each] + delay, packet, target[packet[16:20]]))
        now = time.perf_counter()
        for queue in queues.values():
            while queue and queue[0][0] <= now:
                _, packet, to = queue.popleft()
                with suppress(OSError):  # a full queue drops, as hosts do
                    os.write(to, packet)


def main() -> None:
    """Arguments: the namespaces of the hosts, in the order of their addresses 10.78.0.1, 10.78.0.2 and so on."""
    names = sys.argv[1:]
    tuns = [device(name, "data") for name in names]
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    print("ready", flush=True)
    relay(tuns, [socket.inet_aton(f"10.78.0.{number + 1}") for number in range(len(names))])


if __name__ == "__main__":
    main()
