"""Kernels on engines."""
