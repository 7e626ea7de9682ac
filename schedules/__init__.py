"""The contract that both worlds share: operations, programs, clocks, the scenario, the record of a run."""
