"""`import analysis` needs neither a world nor the heavy libraries, and its public names are there."""

import os
import subprocess
import sys

import analysis

PROGRAM = """
import sys, analysis
names = ("torch", "simpy", "pandas", "matplotlib", "scipy", "jinja2", "networkx", "simulator", "executor", "twinclock")
print([name for name in names if name in sys.modules])
"""


def test_import_is_light():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there():
    assert all(hasattr(analysis, name) for name in analysis.__all__)
