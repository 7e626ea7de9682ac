"""Collectives: who has come, by which algorithm, message by message or by formula."""
