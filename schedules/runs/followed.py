"""The recorded run that a replay follows: it must be of the same scenario, and if it is not, what differs is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from schedules.record.files import Info, read_trace
from schedules.result import Result, is_whole
from schedules.scenario import Scenario, ScenarioError, as_recorded, recorded_fingerprint, texts

if TYPE_CHECKING:
    import pandas as pd


class Followed(NamedTuple):
    """A recorded run that is to be followed: all but the last are the arguments of `schedules.driving.replay.Replay`.

    Attributes:
        trace: with all of its rows.
        gradient_s: its gradient time in seconds.
        cut_ns: when it was cut, or None.
        is_whole: whether its programs came to their end.
        scenario: of the run that follows it, as long as it was.
    """

    trace: pd.DataFrame
    gradient_s: float
    cut_ns: int | None
    is_whole: bool
    scenario: Scenario

    def told(self) -> Info:
        """What `run.json` of the run that follows it says of its end: a replay of that one ends there, too."""
        if self.cut_ns is None:
            return {"cut_ns": None, "ends_early": not self.is_whole}
        # In its own gradient times: at this one the parameters are read out.
        return {"cut_ns": round(self.cut_ns / self.gradient_s * self.scenario.gradient_s)}


def read_replay(followed: str | Path | Result, scenario: Scenario) -> Followed:
    """The run to follow; it must be of the same scenario.

    Args:
        followed: a run directory, of which only the trace is needed, or a run.
        scenario: of the run that is to follow it.
    Raises:
        ScenarioError: if the trace is unreadable, or of another scenario.
    """
    if isinstance(followed, Result):
        if followed.trace is None:
            raise ScenarioError("replay: expected a result with its trace (run.trace = true), found one without")
        if followed.fingerprint != scenario.fingerprint():
            told = _differences(followed.info, scenario)
            raise ScenarioError(f"replay: expected a result of this scenario, found {told}")
        follower = as_recorded(scenario, followed.tables)
        return Followed(followed.trace, followed.gradient_s, followed.cut_ns, followed.is_whole, follower)
    trace, info = read_trace(followed)
    if recorded_fingerprint(info) != scenario.fingerprint():
        raise ScenarioError(f"{followed}: expected a trace of this scenario, found {_differences(info, scenario)}")
    follower = as_recorded(scenario, info["scenario"])
    return Followed(trace, float(info["gradient_s"]), info.get("cut_ns"), is_whole(info), follower)


def _differences(info: Info, scenario: Scenario) -> str:
    theirs, mine, deciding = info.get("scenario", {}), scenario.tables(), scenario.deciding()
    lines, here, there = [], texts(scenario), info.get("texts") or {}
    kept = {"run": {"trace"}, "workload": {"activations"}}  # not in the fingerprint either
    for table, ours in deciding.items():
        said = theirs.get(table, {})
        # Of a key that the run does not have, as it is new, the default is what the run had.
        for key in sorted({*said, *ours} - kept.get(table, set())):
            a, b = said.get(key), mine[table].get(key)
            text = here.get(f"{table}.{key}")
            if a != b and (text is None or text != there.get(f"{table}.{key}")):  # a file may lie elsewhere
                lines.append(f"{table}.{key} = {a!r} (here {b!r})")
    if lines:
        return "another: " + ", ".join(lines)
    changed = _changed_files(info, scenario)
    return f"one of {' or '.join(changed)} with another text" if changed else "one of another version"


def _changed_files(info: Info, scenario: Scenario) -> list[str]:
    """The files of a scenario that have another text than a run's; of a run that does not say so, those that may."""
    ours, theirs = texts(scenario), info.get("texts")
    files = {
        "schedule.program": scenario.program,
        "schedule.events": str(getattr(scenario.schedule, "events", None)),
        "topology.file": str(scenario.topology.file),
        "workload.tensors": str(scenario.workload.tensors),
    }
    return [files[key] for key, text in ours.items() if theirs is None or theirs.get(key) != text]
