"""One instance for all tests of the answer page."""

from tests.sockets.conftest import often, server, settings, shared_url

__all__ = ["often", "server", "settings", "shared_url"]
