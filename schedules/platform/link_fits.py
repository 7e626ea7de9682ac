"""A link under its transport, as it was measured.

An end of a message that asks for it `late` seconds before its peer does has the bytes S after

    max(late, A) + L + S / B + c        with A = L where the transport announces receivers, else 0

where an end is done by itself, and max(late, 0) + A in place of the maximum where an exchange ends at both ends
together: what the simulator's own formulas say (`simulator.messages.formulas`), so what is fitted is what is used.
Where messages leave at once and wait for their receivers A = -L, but for exchanges; where bytes take no time S / B is
nothing, and where nothing does there is no link to fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedules.operations import Exchange, Receive, Send
from schedules.platform.transports import Transport

if TYPE_CHECKING:
    import pandas as pd

LARGEST_FACTOR = 4.0
"""A quantity that may be off by more than this factor (two standard errors) is not told."""

MIN_SIZE_RATIO = 1.5
"""Where sizes vary by less, what a message costs whatever its size cannot be told from the bandwidth."""

MOST_MESSAGES = 20_000
"""That are fitted: of more, every so many-th."""

LEAST_NOISE = 0.01
"""Relative error of a duration that is assumed at least. A simulated trace has none: without this, whatever fits it
would count as told, though other values would fit it as well."""

CONVINCING = 9.0
"""How many times the scatter's variance the squared errors must lose for a latency to be believed: three standard
errors."""

Numbers = NDArray[np.float64]


def ready_ns(rows: pd.DataFrame) -> pd.Series[int]:
    """When the last participant was there, within the operation: clocks of hosts agree up to a residual."""
    return rows["ready_ns"].clip(rows["start_ns"], rows["end_ns"])


class LinkEstimate(NamedTuple):
    """A link under a transport, and how well that fits.

    Attributes:
        latency: in seconds; 0 where `has_latency` is not.
        bandwidth: in bytes/s; what is not told apart from it is contained in it.
        overhead: software cost of a message in seconds. (On the loopback latency and overhead can hardly be told apart:
            their sum counts.)
        residual: median of |fitted / measured - 1| over messages.
        factor: how far off the bandwidth may be: two standard errors, as a factor.
        has_latency: whether the messages tell the latency apart from the bandwidth.
        num_messages, num_sizes: how many were measured, of how many sizes.
    """

    latency: float
    bandwidth: float
    overhead: float
    residual: float
    factor: float
    has_latency: bool
    num_messages: int
    num_sizes: int

    @property
    def is_told(self) -> bool:
        """Whether the messages say anything about the bandwidth. On a busy machine large ones take no longer."""
        return self.factor <= LARGEST_FACTOR


class MessageEnds(NamedTuple):
    """Ends of messages at which data arrives, an entry each.

    Attributes:
        late: seconds from when this end asked to when its peer did; below 0 if the peer was first.
        taken: seconds from when this end asked until it had the data.
        size: bytes.
        is_exchange: whether it is an end of an exchange, and not of a message one way.
    """

    late: Numbers
    taken: Numbers
    size: Numbers
    is_exchange: NDArray[np.bool_]

    @property
    def has_sizes(self) -> bool:
        """Whether sizes vary enough to tell what does not depend on them."""
        return bool(self.size.max() >= MIN_SIZE_RATIO * self.size.min())


def link_estimate(trace: pd.DataFrame, transport: Transport) -> LinkEstimate | None:
    """Fit latency, bandwidth and overhead to the messages of a trace; None if it has none that carry bytes.

    Where all have one size, what does not depend on the size is contained in the bandwidth; but a latency that is
    announced is told by those ends that asked early.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`.
        transport: the row of the transport that is fitted.
    """
    messages = messages_of(trace) if transport.takes_time else None
    if messages is None:
        return None
    if not transport.takes_bytes:
        return _latency_alone(messages)
    has_sizes = messages.has_sizes
    is_free = np.array([has_sizes or transport.is_announced, True, has_sizes and transport.has_overhead])
    if not is_free[0]:
        return _effective(messages, np.inf)
    found = _fitted(messages, transport, is_free)
    is_believed = found.has_latency and (found.is_told or not has_sizes)  # of one size no bandwidth is ever told
    return found if is_believed else _effective(messages, found.factor)


def message_seconds(messages: MessageEnds, transport: Transport, link: Numbers) -> Numbers:
    """What messages take from when an end asks, with link = (latency, seconds a byte, overhead): see above."""
    latency, per_byte, overhead = link
    latency *= transport.has_latency
    announced = latency if transport.is_announced else -latency if transport.leaves_at_once else 0.0
    begin: Numbers = np.maximum(messages.late, announced)
    if transport.ends_together:
        begin = np.where(messages.is_exchange, np.maximum(messages.late, 0) + max(announced, 0.0), begin)
    taken: Numbers = begin + latency + messages.size * per_byte * transport.takes_bytes + overhead
    return taken


def _effective(messages: MessageEnds, factor: float) -> LinkEstimate:
    """Bytes over time: a bandwidth that contains all else."""
    moving = messages.taken - np.maximum(messages.late, 0)
    bandwidth = float(messages.size.sum() / moving.sum())  # of sums: the short messages' noise counts little
    residual = float(np.median(np.abs(messages.size / bandwidth / moving - 1)))
    return LinkEstimate(0.0, bandwidth, 0.0, residual, factor, False, *_counts(messages))


def _latency_alone(messages: MessageEnds) -> LinkEstimate:
    """The median of what each says of the latency; the bandwidth, which is not used, as where nothing else is told."""
    asked = np.where(messages.is_exchange, np.maximum(messages.late, 0), messages.late)
    latency = float(np.median(messages.taken - asked))
    residual = float(np.median(np.abs((asked + latency) / messages.taken - 1)))
    return _effective(messages, np.inf)._replace(latency=latency, residual=residual, has_latency=True)


def _counts(messages: MessageEnds) -> tuple[int, int]:
    return len(messages.size), len(np.unique(messages.size))


LOWEST, FIRST, HIGHEST = (np.array(each) for each in ((1e-7, 1e-13, 1e-7), (2e-5, 1e-9, 1e-4), (1.0, 1e-3, 1.0)))
"""Latency, seconds a byte and overhead: what is possible, and where the search begins."""


def at_bounds(link: LinkEstimate) -> list[str]:
    """Which of the numbers of a link are where the search ends, so that the messages do not tell them."""
    values = {"latency": link.latency, "seconds a byte": 1 / link.bandwidth, "overhead": link.overhead}
    bounds = zip(values.items(), LOWEST.tolist(), HIGHEST.tolist(), strict=True)
    # A number that was contained in the bandwidth is 0, and was not searched for.
    return [name for (name, value), low, high in bounds if value and not low * 1.01 < value < high / 1.01]


def _fitted(messages: MessageEnds, transport: Transport, is_free: NDArray[np.bool_]) -> LinkEstimate:
    """The fit of what is free; the latency is told if it explains more than a bandwidth alone does."""
    search = _search(messages, transport, is_free)
    plain = _search(messages, transport, np.array([False, True, False]))
    spare = max(len(messages.size) - int(is_free.sum()), 1)
    # Not by the standard error of the latency's logarithm: where it has taken over what the bytes cost, that is small.
    scatter = max(2 * search.cost / spare, LEAST_NOISE**2)  # scipy's cost is half of the sum of squares
    has_latency = 2 * (plain.cost - search.cost) > CONVINCING * scatter
    # s^2 (J^T J)^-1; a direction in which nothing changes has a large variance rather than none.
    variance = max(float(search.errors @ search.errors) / spare, LEAST_NOISE**2)
    covariance = variance * np.linalg.inv(search.jacobian.T @ search.jacobian + 1e-9 * np.eye(len(search.jacobian.T)))
    of_bandwidth = float(covariance[1, 1])
    factor = float(np.exp(min(2 * of_bandwidth**0.5, 100.0))) if messages.has_sizes else np.inf
    residual = float(np.median(np.abs(np.expm1(search.errors))))  # fitted / measured - 1, from its logarithm
    latency, per_byte, overhead = search.link.tolist()
    return LinkEstimate(latency, 1 / per_byte, overhead, residual, factor, has_latency, *_counts(messages))


class _Found(NamedTuple):
    """What a search has found, with the logarithms of fitted / measured there, and their derivatives by the logarithms
    of what was free."""

    link: Numbers
    cost: float
    errors: Numbers
    jacobian: Numbers


def _search(messages: MessageEnds, transport: Transport, is_free: NDArray[np.bool_]) -> _Found:
    """Least squares of the relative errors, robust to the few messages that something held up."""
    from scipy.optimize import least_squares

    def link(logarithms: Numbers) -> Numbers:
        values = np.zeros(3)  # what is not free is nothing: it is contained in the bandwidth
        values[is_free] = np.exp(logarithms)
        return values

    def errors(logarithms: Numbers) -> Numbers:
        residuals: Numbers = np.log(message_seconds(messages, transport, link(logarithms)) / messages.taken)
        return residuals

    bounds = np.log(LOWEST[is_free]), np.log(HIGHEST[is_free])
    # In logarithms: the three are some powers of ten apart, and stay positive.
    # Errors above 10 % count less than squared.
    found = least_squares(errors, np.log(FIRST[is_free]), loss="soft_l1", f_scale=0.1, bounds=bounds)
    return _Found(link(found.x), float(found.cost), errors(found.x), np.asarray(found.jac))


# ---- the messages of a trace

_MEETS = {Exchange.__name__: Exchange.__name__, Receive.__name__: Send.__name__, Send.__name__: Receive.__name__}


def messages_of(trace: pd.DataFrame) -> MessageEnds | None:
    """The ends of exchanges, and receives: a send may be over when its bytes are in a buffer. None: no bytes moved."""
    # By issue, and stable: the k-th of a tag at one end is counted as the k-th at the other.
    rows = trace[trace["op"].isin(_MEETS)].sort_values("start_ns", kind="stable")
    if not rows["op"].isin((Exchange.__name__, Receive.__name__)).any():
        rows = rows.assign(op=Receive.__name__)  # no end that tells more
    rows = rows.assign(number=rows.groupby(["op", "rank", "peer", "tag"]).cumcount())
    ends = _with_peers(rows[rows["op"] != Send.__name__], rows)
    late = (ends["peer_start_ns"] - ends["start_ns"]).to_numpy(dtype=np.float64) / 1e9
    taken = (ends["end_ns"] - ends["start_ns"]).to_numpy(dtype=np.float64) / 1e9
    size = ends["bytes"].to_numpy(dtype=np.float64)
    told = np.flatnonzero((size > 0) & (taken > 0) & (taken > late))  # else no logarithm, or no time to move in
    if not len(told):
        return None
    told = told[:: -(-len(told) // MOST_MESSAGES)]  # rounded up: no more than so many
    is_exchange = (ends["op"] == Exchange.__name__).to_numpy(dtype=np.bool_)
    return MessageEnds(late[told], taken[told], size[told], is_exchange[told])


def _with_peers(ends: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """With the time at which the peer asked. Where its row is missing, the trace says when both ends were there."""
    keys = ["op", "rank", "peer", "tag", "number"]
    theirs = rows.assign(op=rows["op"].map(_MEETS)).rename(
        columns={"rank": "peer", "peer": "rank", "start_ns": "peer_start_ns"}
    )
    both = ends.merge(theirs[[*keys, "peer_start_ns"]], on=keys, how="left")
    both["peer_start_ns"] = both["peer_start_ns"].fillna(ready_ns(both))
    # A receive that had to wait for its turn was posted only then, whenever it was issued (platform.order).
    is_posted_late = (both["op"] == Receive.__name__) & (
        ready_ns(both) > both[["start_ns", "peer_start_ns"]].max(axis=1)
    )
    posted = ready_ns(both).where(is_posted_late)
    return both.assign(start_ns=posted.fillna(both["start_ns"]), peer_start_ns=posted.fillna(both["peer_start_ns"]))
