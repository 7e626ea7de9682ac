"""What a worker knows of the others: which of their gradients are in its parameters, and how old these are."""
