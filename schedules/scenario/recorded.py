"""What a run that is recorded says of its scenario: hashes of its files; and its fingerprint, by former rules too."""

from __future__ import annotations

from schedules import catalogue
from schedules.errors import ScenarioError
from schedules.record.files import Info
from schedules.scenario.resolve import load
from schedules.scenario.resolved import Scenario, digest
from schedules.settings import Tables


def texts(scenario: Scenario) -> dict[str, str]:
    """Hashes of the files that are in its fingerprint, by key: of two runs they say which of them has changed."""
    found = {
        "schedule.program": catalogue.own_text(scenario.program),
        "schedule.events": None if scenario.events is None else scenario.events.text,
        "schedule.file": getattr(scenario.schedule, "text", None),
        "topology.file": scenario.graph_text,
        "workload.tensors": scenario.tensors_text,
    }
    return {key: digest({"text": text}) for key, text in found.items() if text is not None}


def recorded_fingerprint(info: Info) -> str:
    """Hash of what must be equal between the run and its replay, as `Scenario.fingerprint` has it today.

    Former versions hashed all keys, and there were fewer. A run that says what that rule gives of its own tables is of
    such a version; it has the fingerprint of the scenario that these tables are today.

    Args:
        info: the content of `run.json`, or of a trace's description.
    """
    told, tables = str(info.get("fingerprint")), info.get("scenario", {})
    if told != _of_all_keys(tables):
        return told
    try:
        return load(tables, is_forced=True).fingerprint()
    except ScenarioError:  # a file that it names is not here, say
        return told


def _of_all_keys(tables: Tables) -> str:
    same = {name: tables.get(name, {}) for name in ("schedule", "topology", "workload", "optimizer")}
    same["workload"] = {key: value for key, value in same["workload"].items() if key != "activations"}
    run = tables.get("run", {})
    names = ["seed", "numerics", "observations"]
    if run.get("until") == "precision":
        names += ["until", "precision", "limit"]
    return digest({**same, "run": {name: run.get(name) for name in names}})
