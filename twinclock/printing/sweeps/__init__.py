"""What is printed of a sweep beside its table."""
