"""What the software of a rank costs around its kernels and messages: the table platform.host of a scenario.

Nothing begins or ends by itself: a thread has to notice. It takes a kernel up after it was issued, it wakes late from a
sleep, and it hands what is over to the program. Operating systems wake threads late by no fixed time: what follows is
exponential with the means that this table gives, and longer while the cores of the machine are all busy with messages.
"""

from __future__ import annotations

from schedules.settings import Count, Table
from schedules.units import BytesPerSecond, Seconds


class Lateness(Table):
    """How late threads are on average."""

    start: Seconds = 0.0
    """From the issue of a kernel until the thread of its engine, which has waited for one, has taken it up."""
    waking: Seconds = 0.0
    """After a sleep: of `Until`, and of a kernel that lasts until a time, as those of a virtual device do."""
    handing: Seconds = 0.0
    """From the end of a kernel, a message or a collective until the program that waits for it goes on."""
    passing: Seconds = 0.0
    """From when one program of a rank has put something into a queue until the one that waits there goes on."""
    meeting: Seconds = 0.0
    """From when both ends of a `Meet` have come until they know; what handing over takes is in it."""


class HostTable(Lateness):
    """The software of a rank, and what it shares with the others of its machine: those of its node, or all where there
    is no network."""

    busy: Lateness = Lateness()
    """What comes on top while as many ranks of the machine as it has cores have messages or collectives under way."""
    cores: Count | None = None
    """That the ranks of a machine share; left out, they are never all busy."""
    bandwidth: BytesPerSecond | None = None
    """Of all messages of the machine together, which its cores copy; left out, each has its link to itself. Not beside
    a network, whose links say what is shared."""
