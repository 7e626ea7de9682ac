"""Messages between workers: sends, receives and exchanges, over links of their own or a shared network."""
