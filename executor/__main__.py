"""One rank of a cluster: `torchrun ... -m executor SCENARIO`, `srun python -m executor SCENARIO`.

Without a launcher's environment it starts all ranks on this machine, as `twinclock execute` does. Every rank keeps its
records on its own machine while it runs; afterwards they go to rank 0, which writes the run directory: no shared
directory is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from executor.launching.cluster import place_in_cluster
from executor.launching.launch import executable, execute
from executor.seat import QUIET_TORCH
from schedules.errors import ScheduleError
from schedules.record.files import check_target
from schedules.record.quantities import throughput, with_unit
from schedules.record.words.quantity import SECONDS
from schedules.scenario import Scenario, ScenarioError, read_setting


def main() -> int:
    """The command line. Exit status 0, 1 (the run failed) or 2 (bad input)."""
    # `python -OO` leaves no docstring.
    parser = argparse.ArgumentParser(prog="python -m executor", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scenario", help="TOML file")
    parser.add_argument("--out", default="runs/measured", help="run directory (default: %(default)s)")
    parser.add_argument("--replay", help="run directory whose trace is to be followed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the scenario")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON (single machine)")
    options = parser.parse_args()
    try:
        changes = dict(map(read_setting, options.set))
        scenario = executable(options.scenario, changes, is_replay=options.replay is not None)
        check_target(Path(options.out))
        place = place_in_cluster(os.environ)
        if place is None:
            return _run_here(scenario, options)
        # Not above: on a single machine torch is loaded where ranks are forked, and this process does without.
        os.environ |= QUIET_TORCH | os.environ
        from executor.launching.member import run_in_cluster

        return run_in_cluster(scenario, place, Path(options.out), options.replay)
    except ScenarioError as error:
        print(f"executor: {error}", file=sys.stderr)
        return 2
    except ScheduleError as error:
        print(f"executor: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("executor: interrupted", file=sys.stderr)
        return 130  # what a shell says of a process that Ctrl-C has ended


def _terminate(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)  # so that the processes that were started are ended, too


def _run_here(scenario: Scenario, options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _terminate)
    result = execute(scenario, out=options.out, replay=options.replay)
    if options.json:
        print(json.dumps(result.summary))
    else:
        makespan = with_unit(result.summary["makespan_s"], SECONDS)
        told = ", ".join(filter(None, (makespan, throughput(result.summary))))
        print(f"{told}; written to {options.out}")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads may wait for a rank that is gone
