"""What a run leaves behind, the same in both worlds: trace, ledger, memory, and the words for its numbers."""
