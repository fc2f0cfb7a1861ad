"""Socket.IO fan-out: encode once, frame once, tick, share. Knows nothing of drivers or tenants."""
