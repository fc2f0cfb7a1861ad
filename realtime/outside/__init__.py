"""Servers that stand in for the outside services, for tests and `./run --outside demo`."""
