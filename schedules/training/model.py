"""The parameters of a worker, as its programs see them: versions, and three verbs.

* `change(rule, ...)`: what is no contribution (mix, accumulate, adopt).
* `apply(rule, contribution, ...)`: what is; its staleness is entered, and the version of its target advances.
* `payload(rule, ...)`: what a rule returns, to be sent.

In a timing-only run there is no state, and rules are not called. docs/vocabulary.md says what is counted at which verb.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from schedules.errors import MisuseError
from schedules.misuse.values import short
from schedules.operations import Payload
from schedules.payload import AVERAGE, GRADIENT, KINDS, LONGEST_TARGET, Kind, What, fresh
from schedules.record.ledger import Account
from schedules.training.state import Rule, State, sealed
from schedules.training.vectors import Tensor


class Model:
    """Parameters of one worker, or of one stage of it.

    Attributes:
        size: bytes of x (and of a gradient).
        version: how many updates have been applied to x.
        steps: how many of them were gradient steps.
        stage: which one it is; -1 where there are no stages.
        state: what rules see, or None in a timing-only run.
        tensors: those of x by name.
        issued: how many computations of each kernel have been asked for.
    """

    __slots__ = (
        "_average", "_contributions", "_enter", "_ledger", "_log", "_place", "_versions", "account", "issued", "size",
        "stage", "state", "steps", "tensors", "version",
    )  # fmt: skip

    def __init__(
        self,
        size: int,
        account: Account,
        *,
        state: State | None = None,
        stage: int = -1,
        tensors: Mapping[str, Tensor] | None = None,
        accumulates: bool = False,
    ) -> None:
        self.size = size
        self.account = account
        self.state = state
        self.stage = stage
        self.tensors = tensors or {}
        self.version = 0
        self.steps = 0
        self.issued: Counter[str] = Counter()
        # Where gradients are added up in a vector, a computed one takes no room of its own.
        # Looked up once: a simulation of gossip spends a tenth of its time on what is counted.
        self._ledger, self._log, self._contributions = account.ledger, account.log, account.ledger.contributions
        self._place = self._contributions.places[account.rank, stage, 0 if accumulates else size]
        self._average, self._enter = self._contributions.behind[AVERAGE].append, self._contributions.enter
        self._versions: Counter[str] = Counter()

    @property
    def is_numeric(self) -> bool:
        """Whether it has arrays."""
        return self.state is not None

    def version_of(self, target: str) -> int:
        """How many updates have been applied to a target: "x", or a name of the program's own."""
        if target.__class__ is not str:
            raise MisuseError(f"expected a target by its name, found {short(target)}")
        return self.version if target == "x" else self._versions[target]

    # ------------------------------------------------------------------ the verbs

    def change(self, rule: Rule, *arguments: object, version: int | None = None) -> None:
        """Change the state by a rule that contributes nothing: no version advances, and nothing is entered.

        Args:
            version: which version of its target x now is, where that is another than before (an estimate, say).
        """
        if self.state is not None:
            self.state.run(rule, arguments)
        if version is not None:
            self.version = version

    def apply(self, rule: Rule | None, contribution: Payload | Sequence[Payload], *arguments: object) -> None:
        """Apply a contribution, or several to one target at once: `rule(s, contribution, *arguments)`.

        The staleness of each is entered. The target's version advances by 1, and that of x too.

        Args:
            rule: None where it has been called already, and only what it contributed is to be counted.
        Raises:
            MisuseError: of a contribution that does not say which version it was read from, or of several targets.
        """
        if self.state is not None and rule is not None:
            self.state.run(rule, (contribution, *arguments))
        given: Any = contribution
        try:
            what, read = given.what, given.version
        except AttributeError:
            self._count_all(given)
            return
        version = self.version
        # First, and at once: a run of gossip averages as often as it makes gradients.
        if read >= 0 and self._log is None:
            if what is AVERAGE:
                average = self._average
                average(version - read)
                self.version = version + 1
                return
            if what is GRADIENT:
                enter, steps = self._enter, self.steps
                enter(self._place, version, steps, self._ledger.now, given)
                self.version = version + 1
                self.steps = steps + 1
                return
        kind, target, gradients = what
        if target != "x":
            version = self._versions[target]
            self._versions[target] = version + 1
        if read < 0:
            told = "expected a contribution that says which version it was read from"
            raise MisuseError(f"{told}, found {given}")
        if gradients or kind == "gradient":
            self._enter(self._place, version, self.steps, self._ledger.now, given)
        else:
            self._contributions.tally(version - read, self.steps, self._ledger.now, given)
        if self._log is not None:
            behind = self.steps - given.step if given.step >= 0 else -1
            facts = kind, target, read, version + 1, behind, given.read_ns, gradients, self.stage
            self._log.append(facts)
        self.version += 1
        if kind == "gradient":
            self.steps += 1

    def payload(
        self,
        rule: Rule,
        *arguments: object,
        size: int | None = None,
        to: str = "x",
        of: Payload | None = None,
        kind: Kind | None = None,
        gradients: int | None = None,
        number: int = 0,
    ) -> Payload:
        """What a rule returns, as a contribution to a target: `rule(s, *arguments)`.

        Args:
            size: bytes; those of x unless given. In a numeric run the array must have as many.
            to: the target; the payload has the version that it is at now.
            of: a payload whose target, version, step and time of reading are handed on, and kind and gradients too
                unless given.
            kind: "change" unless given.
            gradients: how many are in it; none unless given.
            number: a small integer of the program's own.
        Raises:
            MisuseError: if the array has another size.
        """
        _check_facts(to, kind, gradients, number)
        array, size = None, self.size if size is None else size
        if self.state is not None:
            array = self.state.run(rule, arguments)
            if not hasattr(array, "nbytes"):
                raise MisuseError(f"rule {rule.__name__}: expected it to return an array, found {array!r}")
            sealed(array)
        if of is None:
            what: What = (kind or "change", to, gradients or 0)
            made = Payload(size, array, self.version_of(to), self.steps, self._ledger.now, what)
        else:
            made = of.with_array(
                size, array, (kind or of.kind, of.target, of.gradients if gradients is None else gradients)
            )
        made.number = number
        return made

    def outgoing(self) -> Payload:
        """The parameters as they are now, to be averaged with others."""
        if self.state is None:
            return fresh(self.size, self.version, self.steps, self._ledger.now, AVERAGE)
        return Payload(self.size, self.state.x, self.version, self.steps, self._ledger.now, AVERAGE)

    # ------------------------------------------------------------------ what is counted

    def _count_all(self, given: Any) -> None:
        """Count several, which must be of one kind and target, as one update: each is as stale as it was before it."""
        if not isinstance(given, tuple | list) or not all(isinstance(each, Payload) for each in given):
            raise MisuseError(f"expected a payload, or a tuple of them, to be applied, found {given!r}")
        found = sorted({(each.target, each.kind) for each in given})
        if len(found) != 1:
            told = ", ".join(f"{kind} to {target}" for target, kind in found) or "none"
            raise MisuseError(f"expected contributions of one kind to one target, found {told}")
        target = given[0].target
        before = self.version, self.steps, self._versions[target]
        for each in given:
            self.version, self.steps, self._versions[target] = before
            self.apply(None, each)


def _check_facts(target: object, kind: object, gradients: object, number: object) -> None:
    """Refuse what no payload can be, and what no wire carries."""
    if not isinstance(target, str) or not 0 < len(target.encode()) <= LONGEST_TARGET:
        raise MisuseError(f"expected a target with a name of at most {LONGEST_TARGET} bytes, found {target!r}")
    if kind is not None and kind not in KINDS:
        raise MisuseError(f"expected one of the kinds {', '.join(KINDS)}, found {kind!r}")
    if gradients is not None and (not _is_whole(gradients) or gradients < 0):  # type: ignore[operator]
        raise MisuseError(f"expected how many gradients are in it, a whole number, found {gradients!r}")
    if not _is_whole(number):
        raise MisuseError(f"expected a whole number of 64 bits as its number, found {number!r}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


_LEFT = {
    "step": "model.apply(descend, gradient), with `from schedules import descend`",
    "average": "model.apply(average, mine, theirs), with a rule average(s, mine, theirs) of the program's own",
    "mix": "model.change(mix, time), with a rule mix(s, time) of the program's own",
    "mix_neighbours": "model.apply(mix, gradient, mine, theirs, weights), with a rule of the program's own",
    "like": "the answer of the collective, which has the facts of the rank's own payload",
    "buckets": "sizes that the program cuts itself",
    "joined": "model.apply(rule, forward.rest(), buckets), with a rule that puts them together",
    "observe_end": "nothing: when all programs have ended, the parameters are read out",
    "snapshot": "a rule, which has them as s.x",
}
"""Verbs of earlier versions, and what a program says now."""


class _Left:
    """A verb that has left. Not by `__getattr__`: a class that has one pays for it at every attribute."""

    def __init__(self, name: str, instead: str) -> None:
        self._told = f"model.{name} has left: expected {instead}"

    def __get__(self, model: object, kind: type) -> NoReturn:
        raise MisuseError(self._told)


for _name, _instead in _LEFT.items():
    setattr(Model, _name, _Left(_name, _instead))
