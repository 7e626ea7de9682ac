"""A thread that runs kernels."""

import threading
from types import SimpleNamespace
from typing import Any

from executor.running.engine import EngineThread, Job


def test_an_engine_is_busy_while_a_kernel_is_under_way() -> None:
    begun, goes_on, over = threading.Event(), threading.Event(), threading.Event()
    first: Any = SimpleNamespace(is_cancelled=False)
    second: Any = SimpleNamespace(is_cancelled=False)

    def run(job: Job, engine: EngineThread) -> None:
        if job.running is second:
            over.set()
            return
        begun.set()
        assert goes_on.wait(10)

    engine = EngineThread("compute", run=run, failed=lambda running, error: None)
    assert not engine.is_busy
    engine.jobs.put(Job(first, None))
    assert begun.wait(10)
    assert engine.is_busy
    goes_on.set()
    engine.jobs.put(Job(second, None))
    assert over.wait(10)
