"""Benchmarks on one machine: ``python -m loadtests.bench durable``."""
