"""The command line: one small file a command in `twinclock.commands`.

A command is imported when it is called, by the table in `twinclock.main`, so that `--help` answers at once; its module
imports what it needs at the top.
"""
