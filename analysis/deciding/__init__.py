"""Choosing one case of a sweep by a rule, and whether it ranks before its rival when both are executed."""
