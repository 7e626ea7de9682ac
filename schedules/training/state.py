"""The parameters of a worker, and what may be done to them.

`Model` is the timing-only one: size and versions, no arrays. `schedules.training.numeric` has the one with arrays. Both
log every contribution that they apply, with the version of the parameters that it was computed from; staleness follows
from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from schedules.operations import Payload
from schedules.record.ledger import Account
from schedules.record.trace import Applied

APPLIED_GRADIENT = "gradient"
APPLIED_AVERAGE = "average"

LAST_OBSERVATION = 1_000_000_000
"""Index of the read-out at the end of the run; the others count from 0."""


class Model:
    """Parameters of one worker in a timing-only run.

    Attributes:
        size: bytes of the parameters (and of a gradient).
        version: how many updates have been applied.
        steps: how many of them were gradient steps.
        log: contributions applied since the driver last looked.
    """

    __slots__ = ("account", "log", "size", "steps", "version")
    is_numeric: ClassVar[bool] = False

    def __init__(self, size: int, account: Account, *, is_recorded: bool = False) -> None:
        self.size = size
        self.version = 0
        self.steps = 0
        self.account = account
        self.log: list[Applied] | None = [] if is_recorded else None

    def outgoing(self) -> Payload:
        """The parameters as they are now, to be sent."""
        return Payload(self.size, None, self.version, self.steps)

    def step(self, gradient: Payload) -> None:
        """One optimizer step."""
        account, version, steps = self.account, self.version, self.steps
        account.ledger.applied(account.rank, version, steps, gradient)
        if self.log is not None:
            self._log(APPLIED_GRADIENT, gradient)
        self.version = version + 1
        self.steps = steps + 1

    def average(self, mine: Payload, theirs: Payload) -> None:
        """Pairwise averaging: half the difference of the two values that were sent is taken off the parameters."""
        if self.log is not None:
            self._log(APPLIED_AVERAGE, mine)  # versions of the peer's x mean nothing here
        self.version += 1

    def mix(self, time: float) -> None:
        """Continuous mixing with x-tilde up to `time`, in gradient times (A²CiD²)."""

    def mix_neighbours(self, gradient: Payload, models: Sequence[Payload], weights: Sequence[float]) -> None:
        """D-PSGD's update: x <- sum_j W_ij x_j - gamma g. `models[0]` is the worker's own."""
        account = self.account
        account.ledger.applied(account.rank, self.version, self.steps, gradient)
        if self.log is not None:
            self._log(APPLIED_GRADIENT, gradient)
            self._log(APPLIED_AVERAGE, models[0])
        self.version += 1
        self.steps += 1

    def like(self, gradient: Payload, combined: Payload) -> Payload:
        """A combined gradient, with the version and step that the worker's own was computed from."""
        return Payload(combined.size, combined.array, gradient.version, gradient.step, gradient.read_ns)

    def buckets(self, bucket_size: int) -> list[int]:
        """Sizes in bytes of the buckets that the gradient is cut into, in the order of the backward pass."""
        largest = max(8, min(bucket_size, self.size) // 8 * 8)  # no number of any dtype is cut in two
        whole, rest = divmod(self.size, largest)
        return [largest] * whole + [rest] * bool(rest)

    def joined(self, read: Payload, buckets: Sequence[Payload]) -> Payload:
        """The gradient put together again from its buckets; `read` says which version it was computed from."""
        return Payload(sum(bucket.size for bucket in buckets), None, read.version, read.step, read.read_ns)

    def observe_end(self, time: float) -> None:
        """The last observation."""
        self.observe(LAST_OBSERVATION, time)

    def observe(self, index: int, time: float) -> None:
        """Read out the parameters, mixed up to `time`, as the `index`-th observation."""

    def _log(self, kind: str, read: Payload) -> None:
        assert self.log is not None
        steps_behind = self.steps - read.step if read.step >= 0 else -1
        self.log.append((kind, read.version, self.version + 1, steps_behind, read.read_ns))
