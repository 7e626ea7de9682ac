"""Recorded runs: following one, and keeping one that has just been made."""
