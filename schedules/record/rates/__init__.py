"""How fast a run was."""
