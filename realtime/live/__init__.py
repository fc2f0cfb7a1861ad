"""What is true now: latest positions and presence, in Redis and on their way to viewers."""
