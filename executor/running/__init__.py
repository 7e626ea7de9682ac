"""What runs on a rank beside its loop: engines, threads that wait, the user's module."""
