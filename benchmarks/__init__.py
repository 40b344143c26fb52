"""Quality suites and speed benches. Each module runs as `python -m toolgym.benchmarks.NAME` and explains itself."""
