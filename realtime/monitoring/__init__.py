"""Checks of alerts and processes, and how operators are notified of what they find."""
