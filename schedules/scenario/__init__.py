"""The scenario: one file says everything. What programs, worlds and commands need of it, from one import."""

from pydantic import field_validator

from schedules.errors import ScenarioError, nearest
from schedules.platform.computing import Duration
from schedules.scenario.ends import Cut, as_recorded, counting, cut, listed_events, run_settings
from schedules.scenario.files import beside, read, read_setting, read_value, set_key
from schedules.scenario.optimizing import build_optimizer, learning_rate, num_moments, optimizer_bytes
from schedules.scenario.places import located, place_of, renamed
from schedules.scenario.recorded import recorded_fingerprint, texts
from schedules.scenario.resolve import Source, load, resolve
from schedules.scenario.resolved import (
    Scenario,
    build_problem,
    communication_graph,
    physical_network,
)
from schedules.scenario.stages.parameters import stage_parameters
from schedules.scenario.stages.pipeline import activations, boundaries, ties
from schedules.scenario.stages.shares import cuts, kernel_activations, mean_time
from schedules.scenario.tables import ExecutionTable, RunTable
from schedules.settings import Count, Number, Positive, Table
from schedules.units import Bytes

__all__ = [
    "Bytes",
    "Count",
    "Cut",
    "Duration",
    "ExecutionTable",
    "Number",
    "Positive",
    "RunTable",
    "Scenario",
    "ScenarioError",
    "Source",
    "Table",
    "activations",
    "as_recorded",
    "beside",
    "boundaries",
    "build_optimizer",
    "build_problem",
    "communication_graph",
    "counting",
    "cut",
    "cuts",
    "field_validator",
    "kernel_activations",
    "learning_rate",
    "listed_events",
    "load",
    "located",
    "mean_time",
    "nearest",
    "num_moments",
    "optimizer_bytes",
    "physical_network",
    "place_of",
    "read",
    "read_setting",
    "read_value",
    "recorded_fingerprint",
    "renamed",
    "resolve",
    "run_settings",
    "set_key",
    "stage_parameters",
    "texts",
    "ties",
]
