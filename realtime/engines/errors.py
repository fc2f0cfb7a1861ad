"""What an engine says when it cannot start."""


class EngineError(Exception):
    """An engine cannot be started or stopped; the message names the cause and, where known, what to do."""
