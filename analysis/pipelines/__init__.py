"""Pipelines as their traces show them: the steps, their order, where idle time comes from, and drawings."""
