"""Where is it, and what does that mean? Pure functions and values: no I/O, no clock, no sockets."""
