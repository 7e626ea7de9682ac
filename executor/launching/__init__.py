"""Starting the ranks of a run, and what becomes of them."""
