"""The user's module in stages, and what a rank computes for each step of a pipeline."""
