"""Local steps: how much is sent, and what others measured."""
