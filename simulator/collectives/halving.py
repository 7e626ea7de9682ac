"""Recursive halving and doubling: as few rounds as can be, where the number of members is a power of two.

Sources: Thakur, Rabenseifner and Gropp 2005, Optimization of collective communication operations in MPICH, IJHPCA 19(1)
(halving, doubling, Bruck's all-gather, numbers of ranks that are no power of two).
"""

from __future__ import annotations

from collections.abc import Callable

from schedules.platform.volumes import depth, folded
from simulator.collectives.rounds import IDLE, Moves, MovesOf, Pattern, Phase, in_turn, one_part


class Seats:
    """Who takes part in halving and doubling: p members, a power of two.

    Of the first 2r members the even ones stand back: each hands its bytes to its neighbour before, and gets the result
    after.
    """

    def __init__(self, n: int) -> None:
        self.p, self.r = folded(n)

    def seat(self, member: int) -> int:
        """Number among those who take part, or -1."""
        if member >= 2 * self.r:
            return member - self.r
        return member // 2 if member % 2 else -1

    def member(self, seat: int) -> int:
        """Who has that number."""
        return 2 * seat + 1 if seat < self.r else seat + self.r

    def before(self, num_parts: int) -> Phase:
        """Who stands back hands over all parts."""
        # No round at all where nobody stands back.
        return Phase(min(1, self.r), self._between_neighbours(lambda _: range(num_parts), is_back=False))

    def after(self, parts: Callable[[int], range]) -> Phase:
        """Who stood back gets the parts that are due to it."""
        return Phase(min(1, self.r), self._between_neighbours(parts, is_back=True))

    def _between_neighbours(self, parts: Callable[[int], range], *, is_back: bool) -> MovesOf:
        def step(i: int, _: int) -> Moves:
            if i >= 2 * self.r:
                return IDLE
            other, is_sender = i ^ 1, bool(i % 2) == is_back
            return Moves(((other, parts(other)),)) if is_sender else Moves(sources=(other,))

        return step

    def halving(self, parts: Callable[[int, int], range]) -> Phase:
        """Everybody is left with the sum of its own parts; `parts(a, b)` are those of the seats from a to before b."""
        return Phase(depth(self.p), self._swaps(parts, lambda k: self.p >> (k + 1), is_halving=True))

    def doubling(self, parts: Callable[[int, int], range]) -> Phase:
        """Everybody comes to have everybody's parts."""
        return Phase(depth(self.p), self._swaps(parts, lambda k: 1 << k, is_halving=False))

    def _swaps(
        self, parts: Callable[[int, int], range], distance: Callable[[int], int], *, is_halving: bool
    ) -> MovesOf:
        """Seats at a distance d swap: the parts of the other's d seats if halving, of one's own d if doubling."""

        def step(i: int, k: int) -> Moves:
            seat, d = self.seat(i), distance(k)
            if seat < 0:
                return IDLE
            other = seat ^ d
            first = (other if is_halving else seat) // d * d
            return Moves(((self.member(other), parts(first, first + d)),), (self.member(other),))

        return step


def halving_doubling(n: int, size: int) -> Pattern:
    """All-reduce: recursive halving, then recursive doubling (Rabenseifner's algorithm)."""
    seats = Seats(n)
    p = seats.p
    halves, doubles = seats.halving(range), seats.doubling(range)
    return in_turn(n, p, size, seats.before(p), halves, doubles, seats.after(lambda _: range(p)))


def halving(n: int, size: int) -> Pattern:
    """Reduce-scatter by recursive halving; who stays for a neighbour has the neighbour's part too until the end."""
    seats = Seats(n)

    def parts(first: int, end: int) -> range:
        return range(first + min(first, seats.r), end + min(end, seats.r))

    return in_turn(n, n, size, seats.before(n), seats.halving(parts), seats.after(lambda member: one_part(member, n)))


def doubling(n: int, size: int) -> Pattern:
    """All-gather by recursive doubling; Bruck's shifts, which are as good, where n is no power of two."""
    seats = Seats(n)
    if seats.r == 0:
        return in_turn(n, n, n * size, seats.doubling(range))

    def shift(i: int, k: int) -> Moves:
        d = 1 << k
        # `min`: in the last round only what the other one lacks.
        return Moves((((i - d) % n, range(i, i + min(d, n - d))),), ((i + d) % n,))

    return Pattern(n, depth(n), n, n * size, shift)
