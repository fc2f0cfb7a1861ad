"""Hypothesis on a machine that may be busy: no deadlines, a bounded number of examples."""

from hypothesis import settings

settings.register_profile("wayguard", deadline=None, max_examples=60)
settings.load_profile("wayguard")
