"""Benchmarks of the pipeline on a real broker: figures, never tests."""
