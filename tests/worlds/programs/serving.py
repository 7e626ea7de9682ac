"""`serving_plainly`, in the units that it declares."""

from __future__ import annotations

from collections.abc import Mapping

from tests.worlds.programs.serving_plainly import SOURCE as SOURCE
from tests.worlds.programs.serving_plainly import Settings
from tests.worlds.programs.serving_plainly import streams as streams


def work(settings: Settings) -> Mapping[str, Mapping[str, int]]:
    return {"tokens": {"decode": 1, "prefill": 512}, "requests": {"prefill": 1}}
