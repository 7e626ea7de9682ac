"""What traces say: operations, waits, critical paths, intervals."""
