"""The columns of a trace, under the name that documents and notebooks import (`schedules.record.trace`)."""

from schedules.record.trace import COLUMNS

__all__ = ["COLUMNS"]
