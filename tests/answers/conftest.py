"""One instance for all tests of the answer page, and a browser."""

from tests.pages.conftest import browser, pages_built
from tests.sockets.conftest import server, settings, shared_url

__all__ = ["browser", "pages_built", "server", "settings", "shared_url"]
