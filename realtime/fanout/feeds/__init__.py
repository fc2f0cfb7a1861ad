"""Feeds: what a channel sends its members, as the latest state, as a log, or by area."""
