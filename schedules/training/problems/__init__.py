"""What is trained in a numeric run, by name: quadratics, logistic regression, a small perceptron."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType

import numpy as np
from array_api_compat import array_namespace

from schedules.training.problems.classifier import digits_mlp, logistic_regression
from schedules.training.problems.problem import ArrayKind, ProblemSetup
from schedules.training.problems.problem import Problem as Problem
from schedules.training.problems.problem import to_numpy as to_numpy
from schedules.training.problems.quadratic import quadratic
from topologies.checks import nearest, one_of, whole_number

DTYPES = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One entry of `PROBLEMS`: the keyword-only parameters of the builder are the options."""

    builder: Callable[..., Problem]

    @property
    def description(self) -> str:
        """One line for people."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    @property
    def details(self) -> str:
        """What the options mean."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[2].strip()

    @property
    def options(self) -> dict[str, object]:
        """Accepted options with their defaults."""
        parameters = inspect.signature(self.builder).parameters.values()
        return {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


PROBLEMS: Mapping[str, ProblemKind] = MappingProxyType(
    {
        "quadratic": ProblemKind(quadratic),
        "logistic-regression": ProblemKind(logistic_regression),
        "digits-mlp": ProblemKind(digits_mlp),
    }
)


def build_problem(
    name: str,
    *,
    num_workers: int,
    seed: int,
    xp: ModuleType = np,
    dtype: str = "float64",
    device: object = None,
    batch_size: int = 32,
    **options: object,
) -> Problem:
    """Build a problem of `PROBLEMS` for all workers of a run.

    Args:
        seed: of the run: data, partition, batches and noise follow from it.
        xp: the array library: the module `numpy` or `torch`, or an array API namespace.
        dtype: "float64" or "float32".
        device: where the arrays are to be, in the library's own terms; None is its default.
        batch_size: samples of one gradient.
        options: those of the problem, see `PROBLEMS[name].options`.
    Raises:
        ValueError: for an unknown name or option or an impossible value, naming it.
    """
    if name not in PROBLEMS:
        raise ValueError(f"problem: expected one of {', '.join(PROBLEMS)}, found {name!r}{nearest(name, PROBLEMS)}")
    kind = PROBLEMS[name]
    for option in options:
        if option not in kind.options:
            known = ", ".join(kind.options)
            raise ValueError(
                f"problem {name!r}: expected one of {known}, found {option!r}{nearest(option, kind.options)}"
            )
    try:
        namespace = array_namespace(xp.empty(0))  # of an array, as it does not take modules
        arrays = ArrayKind(namespace, getattr(namespace, one_of("dtype", dtype, DTYPES)), device)
        counts = whole_number("num_workers", num_workers, 1), whole_number("seed", seed, 0)
        setup = ProblemSetup(*counts, arrays, whole_number("batch_size", batch_size, 1))
        return kind.builder(setup, **options)
    except ValueError as error:
        raise ValueError(f"problem {name!r}: {error}") from error
