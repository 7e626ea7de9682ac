"""How a run shows itself where somebody looks at it from Python: in one line, as a table, in figures."""
