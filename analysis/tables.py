"""The tables of a comparison: two runs side by side, with errors, and the null model beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from analysis.claims import number_of
from analysis.measures.metrics import operation_table
from schedules.record.quantities import applies, relative_error
from schedules.record.rows import BOOKKEEPING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from schedules.record.files import Tables
    from schedules.record.summary import Summary

_QUANTITIES: Final = ("count", "duration_s", "transfer_s", "waiting_s", "bytes")
_DISTANCES: Final = ("wasserstein_1", "kolmogorov_smirnov")


def summary_errors(simulated: Summary, measured: Summary, null: Summary | None = None) -> pd.DataFrame:
    """Every number of two summaries side by side, and of a null model.

    Returns:
        columns key, simulated, measured (NaN where a summary lacks it), error = simulated / measured - 1; with a null
        model also null and null_error. A number that applies to neither run has no row.
    """
    keys = dict.fromkeys([*measured, *simulated])
    rows = [(key, [number_of(summary, key) for summary in (simulated, measured)]) for key in keys]
    kept = [
        {"key": key, **_beside(ours, theirs, None if null is None else number_of(null, key), has_null=null is not None)}
        for key, (ours, theirs) in rows
        if (ours, theirs) != (None, None) and (applies(key, simulated) or applies(key, measured))
    ]
    return _table(kept, ["key"], has_null=null is not None)


def _beside(
    simulated: float | None, measured: float | None, null: float | None, *, has_null: bool
) -> dict[str, float | None]:
    """The cells of a row: values and errors."""
    told = {"simulated": simulated, "measured": measured, "error": relative_error(simulated, measured)}
    return told | ({"null": null, "null_error": relative_error(null, measured)} if has_null else {})


def _table(rows: list[dict[str, Any]], names: list[str], *, has_null: bool) -> pd.DataFrame:
    import pandas as pd

    numbers = ["simulated", "measured", "error", *(("null", "null_error") if has_null else ())]
    # None is NaN, also where all are.
    return pd.DataFrame(rows, columns=[*names, *numbers]).astype(dict.fromkeys(numbers, "float64"))


def operation_errors(simulated: pd.DataFrame, measured: pd.DataFrame, null: pd.DataFrame | None = None) -> pd.DataFrame:
    """Count, mean duration, transfer and waiting, and bytes of every kind of operation side by side.

    Args:
        simulated, measured, null: traces.
    Returns:
        columns kind, quantity, simulated, measured, error, and with a null model null and null_error; kinds that take
        no time are left out, and so are quantities that are 0 in both runs.
    """
    tables = [operation_table(trace) for trace in (simulated, measured)]
    without = None if null is None else operation_table(null)
    kinds = sorted({*tables[0].index, *tables[1].index} - {*BOOKKEEPING})
    rows: list[dict[str, Any]] = []
    for kind in kinds:
        for quantity in _QUANTITIES:
            values = [_cell(table, quantity, kind) for table in tables]
            other = None if without is None else _cell(without, quantity, kind)
            if any(values):
                cells = _beside(values[0], values[1], other, has_null=null is not None)
                rows.append({"kind": kind, "quantity": quantity, **cells})
    return _table(rows, ["kind", "quantity"], has_null=null is not None)


def _cell(table: pd.DataFrame, quantity: str, kind: str) -> float:
    return float(table[quantity].get(kind, 0))


def operations_of(world: str, trace: pd.DataFrame | None) -> pd.DataFrame:
    """The same of one run: columns kind, quantity and its world; no row without a trace."""
    import pandas as pd

    table = None if trace is None else operation_table(trace)
    kinds = [] if table is None else sorted({*table.index} - {*BOOKKEEPING})
    rows = [
        {"kind": kind, "quantity": quantity, world: _cell(table, quantity, kind)}
        for kind in kinds
        for quantity in _QUANTITIES
        if table is not None and _cell(table, quantity, kind)
    ]
    return pd.DataFrame(rows, columns=["kind", "quantity", world])


def summary_of(world: str, summary: Summary) -> pd.DataFrame:
    """Every number of a summary that says something of the run: columns key and the run's world."""
    import pandas as pd

    told = {key: value for key in summary if (value := number_of(summary, key)) is not None}
    rows = [{"key": key, world: value} for key, value in told.items() if applies(key, summary)]
    return pd.DataFrame(rows, columns=["key", world])


def staleness_distances(
    simulated: pd.DataFrame, measured: pd.DataFrame, null: pd.DataFrame | None = None
) -> pd.DataFrame:
    """How far the distributions of staleness, in versions, lie apart.

    The Wasserstein-1 distance is the area between the two distribution functions, in versions; the Kolmogorov-Smirnov
    distance is their largest difference, between 0 and 1.

    Args:
        simulated, measured, null: samples as `metrics.staleness` returns them.
    Returns:
        columns applied, simulated_mean, measured_mean, wasserstein_1, kolmogorov_smirnov; one row a kind of
        contribution that both runs have. With a null model also null_mean, null_wasserstein_1 and
        null_kolmogorov_smirnov: what these are without a network (NaN where it has no such contribution).
    """
    import pandas as pd

    both = {*simulated["applied"]} & {*measured["applied"]}
    rows = []
    for applied in sorted(both, key=lambda applied: (applied != "gradient", applied)):
        ours, theirs = (_versions(each, applied) for each in (simulated, measured))
        row = {"applied": applied, "simulated_mean": float(ours.mean()), "measured_mean": float(theirs.mean())}
        row |= _distances(ours, theirs)
        if null is not None:
            without = _versions(null, applied)
            told = {"mean": float(without.mean()), **_distances(without, theirs)} if len(without) else {}
            row |= {f"null_{name}": each for name, each in told.items()}
        rows.append(row)
    names = ["applied", "simulated_mean", "measured_mean", *_DISTANCES]
    more = [] if null is None else ["null_mean", *(f"null_{name}" for name in _DISTANCES)]
    return pd.DataFrame(rows, columns=[*names, *more])


def _versions(samples: pd.DataFrame, applied: str) -> NDArray[np.int64]:
    return samples.loc[samples["applied"] == applied, "versions"].to_numpy()


def _distances(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> dict[str, float]:
    from scipy import stats

    wasserstein = float(stats.wasserstein_distance(ours, theirs))
    # "asymp", since only the distance is looked at: the exact p-value beside it takes long for large samples.
    smirnov = float(stats.ks_2samp(ours, theirs, method="asymp").statistic)
    return dict(zip(_DISTANCES, (wasserstein, smirnov), strict=True))


def setting_differences(simulated: Tables, measured: Tables) -> pd.DataFrame:
    """Where two scenarios differ: columns setting (`platform.link.latency`), simulated, measured, as text."""
    import pandas as pd

    ours, theirs = dict(leaves(simulated)), dict(leaves(measured))
    rows = [
        # As repr, which tells the text "1" from the number.
        (key, repr(ours[key]) if key in ours else "absent", repr(theirs[key]) if key in theirs else "absent")
        for key in dict.fromkeys([*ours, *theirs])
        if key not in ours or key not in theirs or ours[key] != theirs[key]
    ]
    return pd.DataFrame(rows, columns=["setting", "simulated", "measured"])


def leaves(table: Tables, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested tables with their paths: `("platform.link.latency", 5e-5)`."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
