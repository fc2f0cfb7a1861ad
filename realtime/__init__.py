"""How do bytes come and go? Sockets, HTTP, the commit path, the fan-out and the storage."""
