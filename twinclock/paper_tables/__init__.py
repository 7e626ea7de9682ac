"""What all tables of papers have in common: finding them, their inputs, their cells, and what was published."""
