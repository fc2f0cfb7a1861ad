"""Metrics: the instruments, the registry that describes them, and counters of processes."""
