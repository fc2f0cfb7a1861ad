"""HTTP for every package: client addresses behind proxies, bodies, content encodings."""
