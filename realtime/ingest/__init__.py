"""The way of a position from a driver to its acknowledgement."""
