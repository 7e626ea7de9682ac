"""A rank's place in a cluster, from what its launcher (torchrun, Slurm) has put into the environment."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """What a cluster's launcher says of a rank, and where rank 0's store is (or the launcher's own)."""

    rank: int
    num_workers: int
    local_rank: int
    local_size: int
    host: str
    port: int
    run: str
    is_store_kept: bool


def place_in_cluster(environment: Mapping[str, str]) -> Place | None:
    """From the variables of torchrun or of Slurm; None if neither has started this process."""
    if "RANK" in environment and "MASTER_ADDR" in environment:
        return _of_torchrun(environment)
    if "SLURM_PROCID" in environment and int(environment.get("SLURM_NTASKS", "1")) > 1:
        return _of_slurm(environment)
    return None


def _of_torchrun(environment: Mapping[str, str]) -> Place:
    size = int(environment["WORLD_SIZE"])
    # A restart meets under keys of its own: torchrun's store still has those of the attempt before.
    run = f"{environment.get('TORCHELASTIC_RUN_ID', 'run')}-{environment.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    return Place(
        rank=int(environment["RANK"]),
        num_workers=size,
        local_rank=int(environment.get("LOCAL_RANK", environment["RANK"])),
        local_size=int(environment.get("LOCAL_WORLD_SIZE", size)),
        host=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
        run=run,
        is_store_kept=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _of_slurm(environment: Mapping[str, str]) -> Place:
    job, step = int(environment.get("SLURM_JOB_ID", "0")), environment.get("SLURM_STEP_ID", "0")
    # The step's first: `srun` may start fewer tasks on a node than the job has there.
    tasks = environment.get("SLURM_STEP_TASKS_PER_NODE", environment.get("SLURM_TASKS_PER_NODE", "1"))
    return Place(
        rank=int(environment["SLURM_PROCID"]),
        num_workers=int(environment["SLURM_NTASKS"]),
        local_rank=int(environment.get("SLURM_LOCALID", "0")),
        local_size=tasks_of_node(tasks, int(environment.get("SLURM_NODEID", "0"))),
        host=environment.get("MASTER_ADDR") or _first_host(environment.get("SLURM_JOB_NODELIST", "localhost")),
        # Nobody can tell the ranks a port before they have a store: all work out the same from the job's number.
        port=int(environment.get("MASTER_PORT", 20_000 + job % 20_000)),
        run=f"{job}.{step}",
        is_store_kept=False,
    )


def tasks_of_node(text: str, node: int) -> int:
    """Slurm's `2(x3),1`: how many tasks the node of that number has."""
    counts: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise ValueError(f"SLURM_TASKS_PER_NODE: expected a list such as 2(x3),1, found {text!r}")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts[min(node, len(counts) - 1)]


def _first_host(nodes: str) -> str:
    """The first of Slurm's `node[01-04,07]`."""
    try:
        shown = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
        return shown.stdout.split()[0]
    # Where there is no `scontrol` (in a container, say) the name is cut out of the list.
    except (OSError, subprocess.CalledProcessError, IndexError):
        return re.sub(r"\[(\d+).*", r"\1", nodes.split(",")[0] if "[" not in nodes else nodes)
