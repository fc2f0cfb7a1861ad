"""Erasure of a driver from every store, with a signed proof."""
