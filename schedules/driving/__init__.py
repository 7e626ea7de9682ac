"""Stepping programs: what the two worlds share."""
