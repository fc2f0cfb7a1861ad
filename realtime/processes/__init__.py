"""The processes: the web instance, the worker, and what runs them."""
