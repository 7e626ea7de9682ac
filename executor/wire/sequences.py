"""That the members of a communicator issue the same collectives: compared before the bytes of each go.

gloo does not: members that do unlike things wait for each other for ever, and one that is sent more than it expects is
aborted. So whoever comes first to the k-th collective of a communicator leaves at the store what it is, and the others
compare: whoever finds something else tells both. That is one call of the store for each, which waits for no member; of
all but the last to come it is over before the collective can begin. (A header gathered by the group itself would be
one more collective, whose every hop waits: twenty times as long among four ranks on a busy machine of two cores.)
"""

from __future__ import annotations

import json
from typing import Any

from executor.agreement.store import SharedStore
from schedules.driving.checks import differ, meaning, shown

SLOTS = 1024
"""So many collectives of a communicator stand in the store at a time; whoever is further behind compares no more."""


class Sequence:
    """The collectives of one communicator, as one member issues them.

    Args:
        store: a client that nobody waits with but this member's lane.
        name: of the communicator.
        rank: of the member.
    """

    def __init__(self, store: SharedStore, name: str, rank: int) -> None:
        self._store, self._name, self._rank = store, name, rank
        self._number = 0
        self._stands = [""] * SLOTS  # what this member has last seen in each slot

    def check(self, operation: Any) -> None:
        """Compare the next collective with what stands for it; leave it there if nothing does.

        Raises:
            ProgramError: if another member has issued another one; it names both.
        """
        slot, number = self._number % SLOTS, self._number
        self._number += 1
        mine = [number, list(meaning(operation))]
        told = json.dumps([*mine, self._rank, shown(operation)])
        # A slot is used again: it is taken over only from what stood there a round before.
        found = self._store.compare_set(f"{self._name}/{slot}", self._stands[slot], told).decode()
        self._stands[slot] = found
        if found == told:
            return
        *theirs, rank, text = json.loads(found)
        if theirs[0] == number and theirs != mine:
            raise differ(self._rank, shown(operation), rank, text)
