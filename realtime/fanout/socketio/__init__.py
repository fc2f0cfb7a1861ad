"""Socket.IO, server side: packets, rooms, dispatch of events, and the Redis manager."""
