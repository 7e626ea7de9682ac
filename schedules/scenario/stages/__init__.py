"""What the tables of a scenario say of the stages of a schedule."""
