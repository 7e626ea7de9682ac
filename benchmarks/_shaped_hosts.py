"""Emulated hosts: a network namespace each, joined by links whose rates are shaped in both directions.

Every host has two interfaces: `data`, whose veth leads to its rack's switch (a bridge) and has a token bucket (`tbf`)
at both ends, and `control`, unshaped, for the store that ranks meet in. Two racks are joined by one more veth, with a
token bucket at both ends. The switches live in a namespace of their own. Nothing is made in the namespace that this
runs in, and no packet leaves the ones made here.

Linux, root and iproute2 only. A token bucket's queue is first in, first out, like a plain switch's. There is no delay
beyond that: not every kernel has netem. (real-hardware.md, section 2. The underscore: `make bench` runs the others.)
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from executor.running.waiting import die_with_parent

MTU = 9000
BURST = 20_000
"""Bytes that a bucket lets pass at line rate: about two packets."""
COMMAND_TIMEOUT_S = 20.0
POLL_S = 0.05
GRACE_S = 6.0
"""How long the others may take to end when one has failed."""

TCP = ("RetransSegs", "TCPTimeouts", "TCPFastRetrans", "TCPLossProbes", "TCPSpuriousRTOs")
"""The kernel's counters that say how TCP fared; TCPTimeouts: how often the timer of retransmission expired (RTO)."""

_numbers = itertools.count()

Process = subprocess.Popen[bytes]


class HostsError(RuntimeError):
    """The hosts cannot be made, or a run on them failed."""


class Wires(NamedTuple):
    """How the links and the TCP over them are.

    Attributes:
        nic: bits/s of every host's link, each way.
        uplink: bits/s between two racks, each way.
        window: bytes of a connection's receive buffer, about half of which TCP fills; links this short hold less.
        queue: bytes that each end of a link queues before it drops.
        control: of congestion, as the kernel names it.
    """

    nic: float
    uplink: float
    window: int = 131_072
    queue: int = 4_000_000
    control: str = "reno"


class Outcome(NamedTuple):
    """Of a run.

    Attributes:
        tcp: TCP's counters, over all hosts, from before the ranks started.
        dropped: packets that full queues have dropped.
        samples: (time, core-seconds that the machine has been busy for).
        ended_s: when the first rank ended, on the same clock.
    """

    tcp: dict[str, int]
    dropped: int
    samples: list[tuple[float, float]]
    ended_s: float

    def busy(self, makespan_s: float) -> float:
        """Busy cores of the whole machine, on average, in the last `makespan_s` seconds before the first rank ended."""
        inside = [each for each in self.samples if self.ended_s - makespan_s <= each[0] <= self.ended_s]
        (begin, busy), (end, busy_after) = (inside or self.samples)[0], (inside or self.samples)[-1]
        return (busy_after - busy) / max(end - begin, POLL_S)


def why_not() -> str | None:
    """What this machine lacks; None: nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return f"expected root on Linux, for network namespaces; found user {os.geteuid()} on {sys.platform}"
    missing = [tool for tool in ("ip", "tc", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"expected iproute2 and util-linux, found no {', '.join(missing)}"
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode != 0:
        return "expected the right to make network namespaces, found none"
    return None


class Hosts:
    """Hosts in racks. A context manager: all that it made is gone afterwards, however it ends.

    (If this process is killed outright, its ranks end with it; `ip netns del` removes the namespaces `twinclock-...`.)

    Args:
        racks: how many hosts each has, in the order of their numbers: one, which is one switch, or two.
        wires: between them.
    Raises:
        HostsError: if a command fails.
    """

    def __init__(self, racks: Sequence[int], wires: Wires) -> None:
        self.racks, self.wires = racks, wires
        self.name = f"twinclock-{os.getpid()}-{next(_numbers)}"
        self._ports = itertools.count(29_500)
        self._made: list[str] = []
        self._shaped: list[tuple[str, str]] = []

    def __enter__(self) -> Hosts:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    # ------------------------------------------------------------------ the network

    def _build(self) -> None:
        switches = self._namespace("switches")
        for bridge in ("control", *(f"rack{rack}" for rack in range(len(self.racks)))):
            _ip(switches, f"link add {bridge} mtu {MTU} type bridge forward_delay 0 stp_state 0")
            _ip(switches, f"link set {bridge} up")
        numbers = itertools.count()
        for rack, size in enumerate(self.racks):
            for number in itertools.islice(numbers, size):
                self._host(number, rack, switches)
        if len(self.racks) == 2:
            self._join(switches)

    def _namespace(self, name: str) -> str:
        full = f"{self.name}-{name}"
        self._made.append(full)
        _run(f"ip netns add {full}")
        _set(full, {f"net.ipv6.conf.{which}.disable_ipv6": "1" for which in ("all", "default")})
        _ip(full, "link set lo up")
        return full

    def _host(self, number: int, rack: int, switches: str) -> None:
        host, window = self._namespace(f"host{number}"), self.wires.window
        settings = {
            "net.ipv4.tcp_congestion_control": self.wires.control,
            "net.ipv4.tcp_slow_start_after_idle": "0",
            "net.ipv4.tcp_no_metrics_save": "1",
            "net.ipv4.tcp_rmem": f"4096 {min(window, 131_072)} {window}",
        }
        _set(host, settings)
        for kind, bridge, subnet in (("data", f"rack{rack}", 1), ("control", "control", 2)):
            port = f"{kind}{number}"
            _ip(host, f"link add {kind} mtu {MTU} type veth peer name {port} mtu {MTU} netns {switches}")
            _ip(host, f"address add 10.77.{subnet}.{number + 1}/24 dev {kind}")
            _ip(host, f"link set {kind} up")
            _ip(switches, f"link set {port} master {bridge} up")
        self._shape(host, "data", self.wires.nic)
        self._shape(switches, f"data{number}", self.wires.nic)

    def _join(self, switches: str) -> None:
        """Two racks: one link between their switches."""
        _ip(switches, f"link add up0 mtu {MTU} type veth peer name up1 mtu {MTU}")
        for rack in (0, 1):
            _ip(switches, f"link set up{rack} master rack{rack} up")
            self._shape(switches, f"up{rack}", self.wires.uplink)

    def _shape(self, name: str, interface: str, rate: float) -> None:
        bucket = f"tbf rate {rate:.0f}bit burst {BURST} limit {self.wires.queue}"
        _run(f"ip netns exec {name} tc qdisc add dev {interface} root {bucket}")
        self._shaped.append((name, interface))

    def _remove(self) -> None:
        """The namespaces go, and all that is in them; a second Ctrl-C waits until then."""
        with _undisturbed(), ExitStack() as stack:  # one that fails keeps no other
            for name in self._made:
                if Path("/run/netns", name).exists():
                    stack.callback(_run, f"ip netns del {name}")

    # ------------------------------------------------------------------ runs

    def run(
        self, scenario: Path, out: Path, *, places: Sequence[int] | None = None, timeout_s: float = 120.0
    ) -> Outcome:
        """Run a scenario with the executor, one rank a host, as `torchrun` or `srun` would start them.

        Args:
            scenario, out: a file; the run directory to write.
            places: the host of each rank; left out, all in their order.
            timeout_s: how long all of it may take.
        Raises:
            HostsError: if a rank fails, or the time is over.
        """
        hosts = range(sum(self.racks)) if places is None else places
        command = [sys.executable, "-m", "executor", str(scenario), "--out", str(out)]
        cluster = {
            "WORLD_SIZE": str(len(hosts)),
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
            "MASTER_ADDR": f"10.77.2.{hosts[0] + 1}",
            "MASTER_PORT": str(next(self._ports)),
            "GLOO_SOCKET_IFNAME": "data",
        }
        before, dropped = self._counters(hosts), self._dropped()
        with tempfile.TemporaryDirectory(prefix="twinclock-shaped-") as logs, _processes() as started:
            for rank, host in enumerate(hosts):
                environment = {**cluster, "RANK": str(rank), "TMPDIR": logs}
                started.append(_start(f"{self.name}-host{host}", command, environment, _log(logs, rank)))
            samples, ended = _watch(started, timeout_s)
            _check(started, logs)
        after = self._counters(hosts)
        tcp = {name: after[name] - before[name] for name in TCP}
        return Outcome(tcp, self._dropped() - dropped, samples, ended)

    def _counters(self, hosts: Sequence[int]) -> Counter[str]:
        """The kernel's counters of the network, summed over hosts."""
        found: Counter[str] = Counter()
        for host in hosts:
            found.update(_pairs(_run(f"ip netns exec {self.name}-host{host} cat /proc/net/snmp /proc/net/netstat")))
        return found

    def _dropped(self) -> int:
        """Packets that full queues have dropped."""
        total = 0
        for name, interface in self._shaped:
            words = _run(f"ip netns exec {name} tc -s qdisc show dev {interface}").split()
            total += int(words[words.index("(dropped") + 1].rstrip(","))
        return total


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and the like wait until the block is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _processes() -> Iterator[list[Process]]:
    """A list; whatever process is in it ends with the block."""
    processes: list[Process] = []
    try:
        yield processes
    finally:
        with _undisturbed():
            for process in processes:
                if process.poll() is None:
                    process.kill()
            for process in processes:
                process.wait(COMMAND_TIMEOUT_S)


def _start(namespace: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start a process on a host; it does not outlive this one, however that ends."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with log.open("wb") as file:
        return subprocess.Popen(
            ["ip", "netns", "exec", namespace, *command],
            env={**os.environ, **single, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),
        )


def _watch(processes: Sequence[Process], timeout_s: float) -> tuple[list[tuple[float, float]], float]:
    """Wait until all have ended, or the time is over: the machine's load as in `Outcome`, and when the first ended."""
    deadline, samples, ended = time.monotonic() + timeout_s, [], 0.0
    while True:
        now = time.monotonic()
        samples.append((now, busy_core_seconds()))
        states = [process.poll() for process in processes]
        if None not in states:
            return samples, ended or now
        if not ended and any(state is not None for state in states):
            ended = now
        if any(states):
            deadline = min(deadline, ended + GRACE_S)
        if now > deadline:
            return samples, ended or now
        time.sleep(POLL_S)


def _log(logs: str, rank: int) -> Path:
    return Path(logs, f"{rank}.log")


def _check(processes: Sequence[Process], logs: str) -> None:
    """All have ended well, or an error with what they have written."""
    states = [process.poll() for process in processes]
    if any(state != 0 for state in states):
        told = [f"expected all ranks to end with status 0 in time, found {states} (None: still under way)"]
        for rank in range(len(processes)):
            told += [
                f"[rank {rank}] {line}" for line in _log(logs, rank).read_text(errors="replace").splitlines()[-12:]
            ]
        raise HostsError("\n".join(told))


def busy_core_seconds() -> float:
    """Core-seconds that this machine has been busy for since it started."""
    times = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")


def _pairs(text: str) -> dict[str, int]:
    """The counters of /proc/net/snmp and netstat: a line of names, a line of numbers, and so on."""
    lines = text.splitlines()
    return {
        name: int(number)
        for names, numbers in zip(lines[::2], lines[1::2], strict=True)
        for name, number in zip(names.split()[1:], numbers.split()[1:], strict=True)
    }


def _set(namespace: str, settings: Mapping[str, str]) -> None:
    """Settings of the kernel, for one namespace."""
    told = " && ".join(f"echo {value} > /proc/sys/{name.replace('.', '/')}" for name, value in settings.items())
    _run(f"ip netns exec {namespace} sh -c", told)


def _ip(namespace: str, command: str) -> None:
    _run(f"ip -n {namespace} {command}")


def _run(command: str, *more: str) -> str:
    words = [*command.split(), *more]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise HostsError(f"expected `{' '.join(words)}` to end within {COMMAND_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        raise HostsError(f"`{' '.join(words)}`: {done.stderr.strip()}")
    return done.stdout
