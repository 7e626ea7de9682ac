"""When fluid transfers end, in exact fractions: the textbook's progressive filling, anew for all at every event.

An oracle for `simulator.network`. It shares no code and no idea with it: no levels, no increments, no floats.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

Links = Mapping[Hashable, tuple[float, float, str]]
Flows = Sequence[tuple[float, float, Sequence[Hashable]]]


@dataclass
class Transfer:
    left: Fraction
    begin: Fraction
    route: Sequence[Hashable]
    weight: Fraction


def exact_completion_times(links: Links, flows: Flows, *, sharing: str = "max-min") -> list[Fraction]:
    """End of each flow in seconds; arguments as those of `simulator.network.completion.completion_times`."""
    transfers = [_transfer(links, flow, sharing) for flow in flows]
    ends = {index: transfer.begin for index, transfer in enumerate(transfers) if not (transfer.left and transfer.route)}
    now = min(transfer.begin for transfer in transfers)
    while len(ends) < len(transfers):
        waiting = [transfer.begin for transfer in transfers if transfer.begin > now]
        active = [index for index, t in enumerate(transfers) if t.begin <= now and index not in ends]
        rates = progressive_filling(links, [transfers[index] for index in active])
        finishes = [now + transfers[index].left / rate for index, rate in zip(active, rates, strict=True)]
        then = min([*waiting, *finishes])
        for index, rate in zip(active, rates, strict=True):
            transfers[index].left -= rate * (then - now)
            if transfers[index].left == 0:
                ends[index] = then
        now = then
    return [ends[index] for index in range(len(transfers))]


def progressive_filling(links: Links, transfers: Sequence[Transfer]) -> list[Fraction]:
    """Max-min fair rates: raise all together, in proportion to their weights, and fix each at what stops it."""
    rates = [Fraction(0)] * len(transfers)
    rising = set(range(len(transfers)))
    while rising:
        step = min(_room(links, transfers, rates, rising, index) for index in rising)
        for index in rising:
            rates[index] += step * transfers[index].weight
        rising = {index for index in rising if _room(links, transfers, rates, rising, index) > 0}
    return rates


def _room(
    links: Links, transfers: Sequence[Transfer], rates: Sequence[Fraction], rising: set[int], index: int
) -> Fraction:
    """How far (per weight) a transfer could rise if all that rise did."""
    rooms = []
    for link in transfers[index].route:
        bandwidth, _, policy = links[link]
        users = [other for other, transfer in enumerate(transfers) if link in transfer.route]
        if policy == "fatpipe":
            users = [index]
        used = sum((rates[user] for user in users), Fraction(0))
        weight = sum((transfers[user].weight for user in users if user in rising), Fraction(0))
        rooms.append((Fraction(bandwidth) - used) / weight)
    return min(rooms)


def _transfer(links: Links, flow: tuple[float, float, Sequence[Hashable]], sharing: str) -> Transfer:
    size, start, route = flow
    latency = sum((Fraction(links[link][1]) for link in route), Fraction(0))
    weight = 1 / latency if sharing == "rtt" and route else Fraction(1)
    return Transfer(Fraction(size), Fraction(start) + latency, route, weight)
