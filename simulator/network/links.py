"""Links as they are given to a network, in any of their forms, and what is told about them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, NamedTuple, get_args

from simulator.network.fair_sharing import INFINITY

LinkId = Hashable
Policy = Literal["shared", "fatpipe"]


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One direction of a cable, a NIC or a fabric.

    Args:
        bandwidth: bytes/s, above 0; infinite for a link that only delays.
        latency: seconds, paid once by every transfer over it.
        policy: "shared" (its transfers divide the bandwidth) or "fatpipe" (each may have all of it).
    """

    bandwidth: float
    latency: float = 0.0
    policy: Policy = "shared"


LinkLike = LinkSpec | Mapping[str, object] | tuple[float, float, Policy] | tuple[float, float]
Links = Mapping[Any, LinkLike]  # by id, anything hashable; a Mapping's key type has no subtypes, hence Any


class LinkUse(NamedTuple):
    """What a link has done: bytes carried, seconds with a transfer under way, and bytes over what it could carry."""

    link: LinkId
    carried_bytes: float
    busy_s: float
    utilisation: float


def checked_link(name: LinkId, spec: LinkLike) -> LinkSpec:
    """Read a link from any of its forms, or raise a ValueError that names it."""
    if isinstance(spec, LinkSpec):
        link = spec
    else:
        try:
            # Whatever is in it: types and values are checked below.
            link = LinkSpec(**spec) if isinstance(spec, Mapping) else LinkSpec(*spec)  # type: ignore[arg-type]
        except TypeError as error:  # an unknown key, or too many or too few values
            raise ValueError(f"link {name!r}: expected bandwidth, latency and policy, got {spec!r}") from error
    # `Real`, as numpy's whole numbers are; they are neither int nor float.
    if not (isinstance(link.bandwidth, Real) and link.bandwidth > 0):
        raise ValueError(f"bandwidth of link {name!r} must be above 0 bytes/s, got {link.bandwidth!r}")
    if not (isinstance(link.latency, Real) and 0 <= link.latency < INFINITY):
        raise ValueError(f"latency of link {name!r} must be finite and at least 0 s, got {link.latency!r}")
    check_choice(f"policy of link {name!r}", link.policy, Policy)
    return link


def check_choice(what: str, value: object, choices: object) -> None:
    """Refuse a value that is none of a Literal's, naming it."""
    if value not in get_args(choices):
        raise ValueError(f"{what} must be one of {', '.join(map(repr, get_args(choices)))}, got {value!r}")
