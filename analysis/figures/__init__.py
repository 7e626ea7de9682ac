"""Figures, of one look."""
