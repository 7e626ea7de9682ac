"""Local steps: workers that go on alone, and meet now and then."""
