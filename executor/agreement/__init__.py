"""What the ranks of a run agree on: who is there, the time, who meets whom, how it ended."""
