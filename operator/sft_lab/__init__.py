"""Everything local and simulated, for quickstart, tests and benchmarks; the operator never imports it."""
