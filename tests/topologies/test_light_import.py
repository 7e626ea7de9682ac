"""`import topologies` needs neither torch nor simpy nor scipy, and nothing else of ours."""

import doctest
import os
import subprocess
import sys

import topologies

PROGRAM = """
import sys, topologies
names = ["torch", "simpy", "scipy", "pandas", "matplotlib"]
names += ["schedules", "simulator", "executor", "analysis", "twinclock"]
print([name for name in names if name in sys.modules])
"""


def test_import_is_light():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_example_of_the_package_runs():
    results = doctest.testmod(topologies)
    assert results.attempted == 4
    assert results.failed == 0


def test_every_public_name_is_there():
    assert all(hasattr(topologies, name) for name in topologies.__all__)
