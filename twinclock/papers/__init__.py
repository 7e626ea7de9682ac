"""Tables and figures of papers, a file each, made of our own scenarios; `twinclock.paper_tables` finds them here."""
