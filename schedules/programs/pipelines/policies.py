"""What a pipeline without a flush does with its parameters: which version a micro-batch sees, and when they step.

| program | the forward pass of k on stage i sees | its backward pass sees |
|---|---|---|
| `pipedream` | the newest: max(0, k - (p - i) + 1) | the same, stashed with the graph |
| `pipedream`, `vertical_sync` | what stage 0 has seen: max(0, k - p + 1) | the same |
| `pipedream-2bw` | max(k // a - 1, 0), with a = `accumulate`: one of two | the same |
| `delayed-gradients` | the newest: max(0, k - 2 (p - 1 - i)) | the same; with `checkpoint` the newest |
| `petra` | the newest: likewise | the newest |

With `accumulate` = a these are numbers of gradients, and a version has a of them. Where a backward pass sees the
newest, it makes the graph anew: of the kept input or, in PETRA, of one that it works out of the output.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schedules import AllReduce, Compute, Payload, Program, Worker
from schedules.programs.pipelines.rules import mean_of, step, step_by
from schedules.programs.pipelines.tracks import Tracks
from schedules.record.ledger import Account
from schedules.training.model import Model

Version = Callable[[int, int], int]
"""(micro-batch, what the stage before has seen, -1 at the first) -> the version to be seen; -1: the newest."""


@dataclass(frozen=True)
class Policy:
    """What a stage does differently from plain back-propagation.

    Attributes:
        accumulate: gradients of one update.
        version: which version a forward pass sees; None: the newest.
        remakes: whether a backward pass begins with making the graph of the forward pass anew.
        returns_outputs: whether what goes back is a stage's input beside the gradient for it, so that the stage before
            has its output and need not keep anything.
        buffered: stages that keep their inputs nevertheless.
        keeps: what a forward pass keeps, as the kernels of modules have it: "graph"; "inputs"; "queue", inputs but at
            the last stage, whose backward pass follows at once; "nothing".
    """

    accumulate: int = 1
    version: Version | None = None
    remakes: bool = False
    returns_outputs: bool = False
    buffered: Sequence[int] = ()
    keeps: str = "graph"


class Stepping:
    """The parameters of a rank's stage, as the micro-batches of a stream come and go.

    Args:
        holders: the ranks that hold the stage.
        is_fused: whether every backward pass follows its forward pass: then no graph is made anew.
    Attributes:
        remakes, returns_outputs: see `Policy`.
        is_buffered: whether the stage keeps its inputs.
    """

    def __init__(self, worker: Worker, stage: int, policy: Policy, *, holders: tuple[int, ...], is_fused: bool) -> None:
        self._worker, self._stage, self._policy, self._holders = worker, stage, policy, holders
        self.remakes, self.returns_outputs = policy.remakes and not is_fused, policy.returns_outputs
        self.is_buffered = self.remakes and (not policy.returns_outputs or stage in policy.buffered)
        # What is made anew is made of the newest.
        self._versions = Versions(worker.stage(stage), worker.account, is_asked=policy.version is not None)
        self._under_way: deque[Payload] = deque()
        self._num_begun = 0
        self._done: list[Payload] = []

    def read(self, k: int, given: Sequence[Payload]) -> Payload | None:
        """The parameters that the forward pass of a micro-batch sees; None: the newest."""
        if self._policy.version is None:
            return None
        turn = k // self._worker.settings.replicas
        return self._versions.at(self._policy.version(turn, given[0].number if given else -1))

    def seen(self, answer: Payload) -> None:
        """A forward pass is over; its answer tells the next stage which version it has seen."""
        answer.number = answer.version
        self._num_begun += 1
        self._under_way.append(answer.rest())
        if not self.remakes:
            self._versions.seen(answer.version)

    def over(self) -> Program:
        """A backward pass is over: the stage steps, if it has enough gradients."""
        counted = self._under_way.popleft()
        self._done.append(counted)
        if not self.remakes:
            self._versions.over(counted.version)
        if len(self._done) == self._policy.accumulate:
            if "optimizer" in self._worker.kernels:
                yield Compute("optimizer", self._stage)
            yield from stepped(self._worker.stage(self._stage), tuple(self._done), self._holders)
            self._done.clear()
            self._versions.updated()
            if self._policy.version is not None and (oldest := self._policy.version(self._num_begun, -1)) >= 0:
                self._versions.drop(oldest)


def stepped(model: Model, forwards: tuple[Payload, ...], holders: Sequence[int]) -> Program:
    """A stage steps by the mean of what was added up since so many forward passes, and over its copies."""
    if len(holders) == 1:
        model.apply(step, forwards, len(forwards))
    else:
        mean, _ = yield AllReduce(model.payload(mean_of, len(forwards)), "mean", tuple(holders))
        model.apply(step_by, forwards, mean)


class Versions:
    """The versions of a stage's parameters that are needed beside the newest.

    Args:
        is_asked: whether forward passes see older ones, so that these are kept until they do no more.
    """

    def __init__(self, model: Model, account: Account, *, is_asked: bool) -> None:
        self._model, self._account, self._is_asked = model, account, is_asked
        self._kept: dict[int, Payload] = {0: model.outgoing()} if is_asked else {}
        self._under_way: Counter[int] = Counter()
        self._since: dict[int, int] = {}

    def at(self, version: int) -> Payload:
        """The parameters of a version, -1: of the newest; those before it are let go, as nobody goes back."""
        version = self._model.version if version < 0 else version
        self.drop(version)
        return self._kept[version]

    def drop(self, oldest: int) -> None:
        """No forward pass will see an older version."""
        for old in [each for each in self._kept if each < oldest]:
            del self._kept[old]
            self._let_go(old)

    def seen(self, version: int) -> None:
        """A micro-batch that has seen a version is under way."""
        self._under_way[version] += 1

    def over(self, version: int) -> None:
        """Its backward pass is over."""
        self._under_way[version] -= 1
        self._let_go(version)

    def updated(self) -> None:
        """There is a newer version."""
        newest = self._model.version
        self._since[newest - 1] = self._account.ledger.now
        if self._is_asked:
            self._kept[newest] = self._model.outgoing()
        self._let_go(newest - 1)

    def _let_go(self, version: int) -> None:
        """Unless somebody still needs it."""
        if version in self._since and not self._under_way[version] and version not in self._kept:
            self._account.held("stashes", self._model.size, self._since.pop(version))
            del self._under_way[version]


def num_versions(tracks: Tracks, policy: Policy, replicas: int = 1) -> list[int]:
    """The most versions of its parameters that each stage keeps at a time, the newest included, by the order alone."""
    found, seen = [], [-1] * sum(part.kind == "F" for cell in tracks.ranks[0] for part in cell)
    # Stage after stage, as each sees what the one before has seen; the replicas are alike.
    for cells in tracks.ranks[: len(tracks.ranks) // replicas]:
        newest = num_begun = num_over = 0
        under_way, most = Counter[int](), 1
        for (part,) in cells:
            k = part.micro_batch // replicas
            if part.kind == "F":
                asked = -1 if policy.version is None else policy.version(k, seen[k])
                seen[k] = newest if asked < 0 else asked
                num_begun += 1
            else:
                num_over += 1
                newest = num_over // policy.accumulate
            under_way[seen[k]] += 0 if policy.remakes else 1 if part.kind == "F" else -1
            kept = {version for version, number in under_way.items() if number} | {newest}
            if policy.version is not None and num_begun < len(seen):  # passes to come go on from what the next sees
                asked = policy.version(num_begun, seen[num_begun])
                kept |= set(range(asked, newest)) if asked >= 0 else set()
            most = max(most, len(kept))
        found.append(most)
    return found
