"""What a cluster's launcher says of a rank."""

from executor.launching.cluster import place_in_cluster, tasks_of_node


def test_what_torchrun_says() -> None:
    environment = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "node1", "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    place = place_in_cluster(environment)
    assert place is not None
    assert place[:6] == (3, 4, 1, 2, "node1", 29500)
    assert place.is_store_kept


def test_what_slurm_says() -> None:
    environment = {"SLURM_PROCID": "3", "SLURM_NTASKS": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
    environment |= {"SLURM_TASKS_PER_NODE": "2(x2),1", "SLURM_JOB_ID": "7", "MASTER_ADDR": "node1"}
    place = place_in_cluster(environment)
    assert place is not None
    assert place[:6] == (3, 5, 1, 2, "node1", 20_007)
    assert [tasks_of_node("2(x2),1", node) for node in range(3)] == [2, 2, 1]
    assert place_in_cluster({}) is None
