"""Running until a throughput is known."""
