"""Schedules in which every step waits: for everybody (all-reduce) or for the neighbours (D-PSGD)."""
