"""The schedules, one family a folder, one schedule a file: each reads like its paper's algorithm box."""
