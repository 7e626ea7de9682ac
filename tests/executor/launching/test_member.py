"""Files that go from one machine to another through the store."""

from pathlib import Path

import pytest
import torch

from executor.launching import member


@pytest.mark.parametrize("size", [0, 1, 8, 21])
def test_a_file_goes_through_the_store_in_chunks_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(member, "CHUNK", 8)
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    data = bytes(range(size))
    (there / "rank1.rows").write_bytes(data)
    store = torch.distributed.HashStore()
    member.hand_in(store, there / "rank1.rows")
    member.fetch(store, here / "rank1.rows")
    assert (here / "rank1.rows").read_bytes() == data
    assert not any(store.check([f"file/rank1.rows/{number}"]) for number in range(3))
