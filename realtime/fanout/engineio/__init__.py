"""Engine.IO, server side: sessions, transports, timeouts."""
