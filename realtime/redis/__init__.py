"""Redis: clients made from settings, what a cluster looks like, errors, and Lua helpers."""
