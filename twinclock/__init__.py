"""The command line: one small file a command in `twinclock.commands`.

Nothing but click is imported before a command runs, so that `--help` answers at once.
"""
