"""Cyclic data parallelism: workers that start one after the other, and gradients that go round among them."""
