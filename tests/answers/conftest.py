"""One instance for all tests of the answer page, and a browser."""

from tests.pages.conftest import browser
from tests.sockets.conftest import server, settings, shared_url

__all__ = ["browser", "server", "settings", "shared_url"]
