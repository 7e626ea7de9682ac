"""What every test shares: Hypothesis without chance or deadlines, and the markers that need a machine of some kind."""

import shutil
import subprocess
from functools import cache

import pytest
from hypothesis import settings

# No chance from run to run; `pytest --hypothesis-profile=default` draws anew. Hypothesis also draws constants that it
# finds in our imported modules, so a test may see other examples alone than it sees in the whole suite.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.load_profile("ci")


@cache
def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@cache
def has_namespaces() -> bool:
    try:
        return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def has_browser() -> bool:
    return shutil.which("chromium") is not None


NEEDS = {"gpu": has_gpu, "root": has_namespaces, "browser": has_browser}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker asks for what this machine has not."""
    for marker, is_here in NEEDS.items():
        if item.get_closest_marker(marker) and not is_here():
            pytest.skip(f"this machine has nothing for the marker {marker!r}")
