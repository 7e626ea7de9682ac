"""What protocols on top of links have in common: windows of connections, late threads, rings that go by segments."""
