"""What the simulator assumes of the hardware: the [platform] table of a scenario."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from schedules.platform.computing import Device, Duration, KernelDuration, Speeds, Stragglers
from schedules.platform.hosts.table import HostTable
from schedules.platform.outages import Faults
from schedules.platform.protocols.efficiency import EfficiencyGrid, check_grid
from schedules.platform.protocols.windows import check_window
from schedules.platform.transports import DEFAULT as DEFAULT_TRANSPORT
from schedules.platform.transports import TRANSPORTS, choices
from schedules.settings import Count, Number, Table
from schedules.units import Bytes, BytesPerSecond, Seconds, quantity
from topologies.given import COORDINATES
from topologies.physical import KINDS


def _check_transport(name: object) -> object:
    # A `Literal` would write the names down a second time. This is an error of its kind, so that whoever reads
    # pydantic's errors sees no difference.
    if not isinstance(name, str) or name not in TRANSPORTS:
        raise PydanticKnownError("literal_error", {"expected": choices()})
    return name


TransportName = Annotated[str, BeforeValidator(_check_transport)]
"""A name of the table of transports."""


Window = Annotated[Bytes, AfterValidator(check_window)]
"""Bytes that a connection may have under way."""


class Link(Table):
    """One direction of a link."""

    bandwidth: BytesPerSecond
    latency: Seconds = 0.0
    """Of one message, one way."""
    window: Window | None = None
    """No connection over it carries more than this in a round trip; left out, no limit."""


LACKING = ("bandwidth", "latency")
"""Options of a network's builder that stand beside a file, too: for links that lack them there."""


class NetworkTable(BaseModel):
    """The physical network that messages cross. Further keys are options of the network's builder."""

    # No `Table`, which forbids further keys: the options' names are the builder's to know.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True, use_attribute_docstrings=True)

    kind: str | None = None
    """Any network that `twinclock topologies` lists; beside a file the kind of its nodes that lack one: host, nic,
    switch or gpu."""
    file: str | None = None
    """Instead of a network's kind: a GraphML or JSON file. `bandwidth` and `latency` beside it are those of its links
    that lack them; latency = "coordinates" is that of light between the two ends."""
    hosts: Count | None = None
    """How many hosts (or GPUs) a network of a kind has; left out, one a worker."""
    placement: list[int | str] | None = None
    """The node of every worker; left out, the GPUs (or hosts) in their order."""
    ties: Literal["smallest", "ecmp"] = "smallest"
    """Which of several routes of as few links. The least latency decides first; where that is equal, too, the smallest
    sequence of nodes, or a hash, as switches choose."""
    routes: dict[str, list[int | str]] = Field(default={})  # keys are texts in TOML and JSON
    """Routes that are given, as nodes: "0-3" = [0, 12, 3] for messages from worker 0 to worker 3."""
    sharing: Literal["max-min", "rtt"] = "max-min"
    """How transfers share a link: equally, or by 1 / latency as TCP does."""
    window: Window | None = None
    """Of every link: no connection carries more than this in a round trip. A link of a file may have one of its own, in
    bytes."""
    solver: Literal["auto", "python", "numba"] = "auto"
    """numba is the extra `fast`; both give the same to the last bit."""

    @field_validator("file")
    @classmethod
    def _check_one(cls, file: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if file is not None and kind is not None and kind not in KINDS:
            raise ValueError(
                f"expected none beside platform.network.kind = {kind!r} (beside a file it is the kind of nodes: "
                f"{', '.join(KINDS)})"
            )
        return file

    @model_validator(mode="before")
    @classmethod
    def _read_units(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {key: _in_si(key, value) for key, value in values.items()}

    @model_validator(mode="after")
    def _check_some(self) -> NetworkTable:
        if self.kind is None and self.file is None:
            raise ValueError("expected one of the keys kind and file, found none of them")
        options = [key for key in self.model_extra or {} if key not in LACKING] + ["hosts"] * (self.hosts is not None)
        if self.file is not None and options:
            raise ValueError(f"expected no options of a builder beside file, found {', '.join(options)}")
        return self


def _in_si(key: str, value: object) -> object:
    """An option of a network: bandwidths and latencies may have units."""
    # Builders name them nvlink_bandwidth, uplink_latency and so on, and have no table of their units.
    unit = {"bandwidth": "byte/second", "latency": "second"}.get(key.rpartition("_")[2])
    try:
        is_asked = key == "latency" and value == COORDINATES  # of a file alone; a builder refuses it
        return value if unit is None or is_asked else quantity(value, unit)
    except ValueError as error:
        raise ValueError(f"{key}: {error}, found {value!r}") from None


Fraction = Annotated[Number, Field(gt=0, le=1)]


class EfficiencyTable(Table):
    """Efficiency by size and number of nodes; between the entries a line in logarithms, beyond them as at the last."""

    sizes: Annotated[list[Annotated[Bytes, Field(gt=0)]], Field(min_length=1)]
    """Of collectives as nccl-tests count them, rising."""
    nodes: Annotated[list[Count], Field(min_length=1)] = Field(default=[1])
    """Numbers of nodes, rising; left out, all have the same."""
    values: list[list[Fraction]]
    """A list for each number of nodes, with a value for each size, which does not fall."""

    @model_validator(mode="after")
    def _check_grid(self) -> EfficiencyTable:
        check_grid(self.grid)
        return self

    @property
    def grid(self) -> EfficiencyGrid:
        """What it says."""
        return EfficiencyGrid(tuple(self.sizes), tuple(self.nodes), tuple(map(tuple, self.values)))


Efficiency = Annotated[
    Annotated[Fraction, Tag("number")] | Annotated[EfficiencyTable, Tag("table")],
    Discriminator(lambda value: "table" if isinstance(value, dict | EfficiencyTable) else "number"),
]
"""A part of the bandwidth, or a table of such parts."""


class CollectivesTable(Table):
    """How collectives are carried out."""

    form: Literal["auto", "closed", "flows"] = "auto"
    """closed: by formula, as on an idle network; flows: message by message. auto: flows where there is a network, or a
    bandwidth that the ranks of a machine share."""
    all_reduce: Literal["auto", "ring", "halving-doubling", "tree", "hierarchical", "direct"] = "auto"
    """auto: a ring with gloo, else the fastest by formula of ring, tree and (on nodes with several workers, but not
    with nccl) hierarchical. A ring is as many rings as each node has NICs, but not with gloo. direct: everybody to
    everybody at once, in two rounds."""
    reduce_scatter: Literal["auto", "ring", "halving", "all-reduce"] = "auto"
    """auto: a ring; with gloo an all-reduce, of which each keeps its part."""
    all_gather: Literal["auto", "ring", "doubling"] = "auto"
    """auto: a ring."""
    broadcast: Literal["auto", "tree", "chain", "tree-at-once"] = "auto"
    """auto: with gloo a tree in which everybody sends to all its children at once, with nccl a chain, else the
    faster by formula of a tree and a chain; a chain hands on segments of 512 KiB, and with nccl bytes while they
    come."""
    all_to_all: Literal["auto", "pairwise", "direct"] = "auto"
    """One partner after the other (so does auto, but with nccl), or all at once."""
    overhead: Seconds | None = None
    """Of one message within a collective, as platform.overhead is of others; left out, the same."""


class PlatformTable(Table):
    """What the simulator assumes of the hardware; `twinclock calibrate` writes such a table."""

    # The device stands above the durations: pydantic checks in this order, and their means may follow from it.
    device: Device | None = None
    """What computes, where durations are given as FLOP and bytes."""
    gradient: Duration | None = None
    """How long a gradient takes. Without it kernels take what [platform.kernels] says, and no clock ticks."""
    gradient_time: Annotated[Seconds, Field(gt=0)] | None = None
    """One gradient time, in which clocks tick, where gradients take no time; left out, 1 s."""
    link: Link = Link(bandwidth=1.25e9, latency=50e-6)  # an illustration, as in `topologies.fabrics`
    """Between two workers, each way; a link of their own, unless there is a network."""
    network: NetworkTable | None = None
    """The links that messages share."""
    transport: TransportName = DEFAULT_TRANSPORT
    """The protocol on top: what a message costs beside latency and bytes."""
    order: Literal["auto", "in-order", "overtaking"] = "auto"
    """Whether sends and receives of one rank, peer and channel are posted one after the other, each when the one before
    it has met its other end, as on one communicator of NCCL. auto: as the transport has it; gloo goes by tags."""
    overhead: Seconds = 0.0
    """Software cost of one message (the gloo and nccl transports add it); in gloo's all-reduce, how late threads are on
    average; of nccl's collectives, once each."""
    window: Window | None = None
    """Of every connection of the transport, whatever its links: what it carries in a round trip at most."""
    initial_window: Window | None = None
    """What a connection that has rested carries in its first round trip, and twice that in the next (TCP's slow
    start); left out, it is open at once."""
    efficiency: Efficiency | None = None
    """What part of the bandwidth the collectives of the nccl transport have: a number, or a table by size and number of
    nodes; left out, what others measured on fast networks (docs/scenario.md)."""
    kernels: dict[str, KernelDuration] = Field(default={})
    """How long other kernels take: a time, a table as for the gradient, or a list of these, one a stage. One value is
    for all that a rank holds of the model: of k stages each takes a k-th."""
    speed: Speeds = Field(default={})
    """How fast ranks compute: { 3 = 0.5 } is a rank that takes twice as long; or one number a rank."""
    stragglers: Stragglers | None = None
    """Ranks that are slow now and then."""
    faults: Faults | None = None
    """Ranks that fail, come back, or join late."""
    communication_slowdown: Annotated[Number, Field(ge=1, le=1e6)] = 1.0
    """How many times longer kernels take while a transfer of their rank is under way."""
    collectives: CollectivesTable = CollectivesTable()
    host: HostTable | None = None
    """What the software of a rank costs around each kernel and message; left out, nothing."""

    @field_validator("gradient")
    @classmethod
    def _resolve_gradient(cls, gradient: Duration | None, info: ValidationInfo) -> Duration | None:
        return None if gradient is None else gradient.resolved(info.data.get("device"))

    @field_validator("gradient_time")
    @classmethod
    def _check_gradient_time(cls, seconds: float | None, info: ValidationInfo) -> float | None:
        gradient: Duration | None = info.data.get("gradient")
        if seconds is not None and gradient is not None and gradient.mean > 0:
            raise ValueError("expected none beside platform.gradient with a mean above 0")
        return seconds

    @field_validator("kernels")
    @classmethod
    def _resolve_kernels(cls, kernels: dict[str, KernelDuration], info: ValidationInfo) -> dict[str, KernelDuration]:
        device = info.data.get("device")
        return {
            name: [each.resolved(device, (name, stage)) for stage, each in enumerate(found)]
            if isinstance(found, list)
            else found.resolved(device, (name,))
            for name, found in kernels.items()
        }

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: HostTable | None, info: ValidationInfo) -> HostTable | None:
        if host is not None and info.data.get("faults") is not None:
            raise ValueError("expected none beside platform.faults")
        if host is not None and host.bandwidth is not None and info.data.get("network") is not None:
            raise ValueError("bandwidth: expected none beside platform.network, whose links say what is shared")
        return host

    @property
    def gradient_s(self) -> float:
        """One gradient time in seconds."""
        # Ticks need a unit also where gradients take no time.
        return (self.gradient and self.gradient.mean) or self.gradient_time or 1.0

    @property
    def has_shared_links(self) -> bool:
        """Whether messages share links: those of a network, or the bandwidth that the ranks of a machine share."""
        return self.network is not None or (self.host is not None and self.host.bandwidth is not None)

    def speed_of(self, rank: int) -> float:
        """Relative speed of a rank: kernels take 1 / speed times as long."""
        return self.speed[rank] if isinstance(self.speed, list) else self.speed.get(str(rank), 1.0)
