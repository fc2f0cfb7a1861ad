"""The fault matrix of an SOS: what is broken, while somebody presses, and who was told in the end.

``python -m tests.matrix --seed 1 --sos 1000`` plays all of it and prints the ledger; docs/SOS_FAULTS.md keeps
one.
"""
