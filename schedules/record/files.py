"""The files of a run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedules.errors import ScenarioError

if TYPE_CHECKING:
    import pandas as pd


def read_trace(directory: str | Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The trace of a run directory, and the description of its run.

    Raises:
        ScenarioError: if there is none, or it is unreadable or cut off.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(directory) / "trace.parquet"
    if not path.is_file():
        raise ScenarioError(f"{path}: expected the trace of a run, found none")
    try:
        table = pq.read_table(path)
        info = json.loads((table.schema.metadata or {})[b"twinclock"])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ScenarioError(f"{path}: expected a whole Parquet trace, found an unreadable one ({error})") from None
    return table.to_pandas(), info
