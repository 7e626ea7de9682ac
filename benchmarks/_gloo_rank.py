"""One rank of torch with gloo that carries out what it is told, line by line: `OPERATION BYTES START`.

START is on the monotonic clock that all ranks of a machine share, so that all begin at once; answered by when it ended.
Arguments: rank, number of ranks, file of the store.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist

TIMEOUT = timedelta(seconds=120)


def main() -> None:
    rank, n, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(store, n), rank=rank, world_size=n, timeout=TIMEOUT)
    print("ready", flush=True)
    tensors: dict[int, torch.Tensor] = {}
    for line in sys.stdin:
        operation, size, start = line.split()
        tensor = tensors.setdefault(int(size), torch.zeros(int(size) // 4))
        time.sleep(max(0.0, float(start) - time.monotonic()))
        if operation == "all-reduce":
            dist.all_reduce(tensor)
        elif operation == "broadcast":
            dist.broadcast(tensor, 0)
        else:
            dist.reduce(tensor, 0)
        print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main()
