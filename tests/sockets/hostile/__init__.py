"""Whatever a client says: a coded answer or the stated close; nothing changes and others are served."""
