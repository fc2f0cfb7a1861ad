"""The Socket.IO edge: ``/driver`` and ``/watch``."""
