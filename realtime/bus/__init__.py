"""The bus between processes: messages through Redis, in order, with gaps detected."""
