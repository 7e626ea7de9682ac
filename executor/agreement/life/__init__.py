"""Signs of life: each rank shows its own, and looks for those of others."""
