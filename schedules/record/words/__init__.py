"""What the numbers of a summary are called."""
