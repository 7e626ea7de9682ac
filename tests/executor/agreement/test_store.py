"""Connecting to the store, with a name server of one's own: in a network namespace that has its address."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RESOLV = Path("/etc/resolv.conf")

ASKS = """
import mmap, os, socket, subprocess
subprocess.run("ip link set lo up && ip addr add {server}/32 dev lo", shell=True, check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("{server}", 53))
asked = mmap.mmap(-1, 1)  # seen by both processes
if os.fork() == 0:  # no thread: Python looks names up without letting others go on
    while True:
        query, who = server.recvfrom(4096)
        asked[0] += 1
        server.sendto(query[:2] + bytes([query[2] | 0x80, 3]) + query[4:], who)  # there is no such name
{code}
print(asked[0])
"""

CONNECTS = """
from executor.agreement.store import ASK_NOBODY, connect, keep_store
if os.fork() == 0:
    os.environ |= ASK_NOBODY
    store = keep_store("127.0.0.1", 29400)
    import signal
    signal.pause()
connect("127.0.0.1", 29400, "run").set("key", "")
"""

LOOKS_UP = 'socket.getnameinfo(("192.0.2.1", 80), socket.NI_NUMERICSERV)\n'


def _num_asked(code: str) -> int:
    """How often a name server is asked by that code."""
    found = re.search(r"^nameserver\s+([\d.]+)", RESOLV.read_text() if RESOLV.exists() else "", re.MULTILINE)
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None or found is None:
        pytest.skip("needs root, namespaces and the address of a name server")
    code = ASKS.format(server=found[1], code=code)
    # A namespace of processes, too: who keeps the store ends with it.
    command = ["unshare", "--net", "--pid", "--fork", "--kill-child", sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return int(told.stdout)


@pytest.mark.root
@pytest.mark.slow
def test_connecting_asks_for_no_name_and_a_program_may() -> None:
    """torch looks up who it connects with: a name server that does not answer would cost 5 s each time."""
    assert _num_asked(LOOKS_UP) == 1  # else the next lines prove nothing
    assert _num_asked(CONNECTS) == 0
    assert _num_asked(CONNECTS + LOOKS_UP) == 1
