"""Collectives whose members hand bytes on while they come: rings and chains and trees, one a NIC."""
