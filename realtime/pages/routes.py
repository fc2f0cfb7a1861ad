"""Serves the pages and their files: `/console`, `/drive`, `/s/{share_id}`, `/pages/config.json`, `/pages/…`.

A page is a file that `npm run build` wrote to `static/`; nothing is rendered here, so no id or secret of a
request can end up in one. Headers say the rest: what a page may load, who may frame it, how long a file stays
good.

A page is served at every address that begins with its path and goes on with a character that no token has:
programs that pass a link on encode its ``#`` or put something behind it, and the page's script knows what to
make of that (`web/src/common/link.ts`). Every other address is answered by `realtime.pages.wrong`.
"""

import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from realtime.pages.wrong import helpful
from realtime.settings import Settings

STATIC: Final = Path(__file__).parent / "static"
NOT_BUILT: Final = "The pages are not built. Run: cd realtime/pages/web && npm ci && npm run build\n"

_HASHED: Final = re.compile(r"assets/.+-[A-Za-z0-9_-]{8}\.\w+|basemap-[0-9a-f]+/.+")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")
_TILE: Final = re.compile(r"basemap-[0-9a-f]+/\d+/\d+/\d+\.pbf")
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",  # browsers refuse a module of any other type
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".pbf": "application/x-protobuf",
    ".webmanifest": "application/manifest+json",
}
_COMPRESSED: Final = frozenset({".gz", ".br"})
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
_STAMPED: Final = ("", "assets", "console.html", "drive.html", "share.html")
"""What changes with every build: the folder itself is "", by which a file that comes or goes is seen."""
_NOTHING_OF_THE_DEVICE: Final = "camera=(), geolocation=(), microphone=(), screen-wake-lock=()"
_WHAT_DRIVING_NEEDS: Final = "camera=(), geolocation=(self), microphone=(), screen-wake-lock=(self)"


def add_pages(app: web.Application, settings: Settings, static: Path = STATIC) -> None:
    """Adds the pages' routes to ``app``; ``static`` is where the build wrote them.

    While nothing is built there, pages are answered 503 with what to run.
    """
    pages = _Pages(settings, static)
    app.router.add_get("/", pages.front)
    app.router.add_get("/drive/sw.js", pages.service_worker)
    app.router.add_get("/drive/manifest.webmanifest", pages.manifest)
    app.router.add_get("/pages/config.json", pages.config)
    app.router.add_get("/pages/{name:.+}", pages.file)
    app.router.add_get(at("console"), pages.console)
    app.router.add_get(at("drive"), pages.drive)
    app.router.add_get(at("s"), pages.share)
    app.middlewares.append(helpful)


def at(name: str) -> str:
    """The route of the page at ``/name``: that path, in letters of any case, and whatever stands behind it as
    long as that does not begin with a character of a token.
    """
    return f"/{{page:/*(?i:{name})(?:[^A-Za-z0-9_-][\\s\\S]*)?}}"


def content_security_policy(settings: Settings) -> str:
    """What a page may load: itself and nothing else, plus the origins of the map style and of SAFETY_URL when
    they are configured.

    ``'self'`` covers the websocket in browsers of today; the public address is named for those of yesterday.
    ``blob:`` is for images and workers MapLibre makes itself.
    """
    websocket = origin_of(settings.public_url).replace("http", "ws", 1)
    style, safety = origin_of(settings.map_style_url), origin_of(settings.safety_url)
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' data: blob: {style}",
        "font-src": f"'self' {style}",
        "connect-src": f"'self' {websocket} {safety} {style}",
        "worker-src": "'self' blob:",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
    }
    return "; ".join(" ".join(f"{name} {sources}".split()) for name, sources in rules.items())


def origin_of(url: str) -> str:
    """``scheme://host`` of an absolute http(s) URL without user name, else nothing."""
    parts = urlsplit(url)
    fit = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.netloc)
    return f"{parts.scheme}://{parts.netloc}" if fit else ""


class _Pages:
    """The handlers. What was built is listed: a request names one of those files or is not found."""

    def __init__(self, settings: Settings, static: Path) -> None:
        self._static = static
        self._files: dict[str, Path] = {}
        self._build: tuple[int | None, ...] = ()
        self._config = {
            "map_style_url": settings.map_style_url,
            "tick_ms": settings.fanout_tick_ms,
            "stale_after_s": settings.stale_after_s,
            "safety_url": settings.safety_url.rstrip("/"),
        }
        self._page_headers = {
            "Content-Security-Policy": content_security_policy(settings),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Permissions-Policy": _NOTHING_OF_THE_DEVICE,
            "Cross-Origin-Opener-Policy": "same-origin",
        }

    async def front(self, _request: web.Request) -> web.StreamResponse:
        """To the console; browsers take the fragment along, so an old link with a token in it still works."""
        headers = {"Location": "/console", "Cache-Control": _ASK_AGAIN, "Referrer-Policy": "no-referrer"}
        return web.Response(status=302, headers=headers)

    async def console(self, _request: web.Request) -> web.StreamResponse:
        return self._page("console.html", {"Cache-Control": _ASK_AGAIN})

    async def drive(self, _request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": _ASK_AGAIN, "Permissions-Policy": _WHAT_DRIVING_NEEDS}
        return self._page("drive.html", headers)

    async def service_worker(self, _request: web.Request) -> web.StreamResponse:
        # Its folder is /drive/, its page /drive: without the header it could not serve that one.
        return self._page("sw.js", {"Cache-Control": _ASK_AGAIN, "Service-Worker-Allowed": "/drive"})

    async def manifest(self, _request: web.Request) -> web.StreamResponse:
        return self._page("manifest.webmanifest", {"Cache-Control": _ASK_AGAIN})

    async def share(self, _request: web.Request) -> web.StreamResponse:
        return self._page("share.html", {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"})

    async def config(self, _request: web.Request) -> web.Response:
        headers = {"Cache-Control": _ASK_AGAIN, "X-Content-Type-Options": "nosniff"}
        return web.json_response(self._config, headers=headers)

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        path = self._listed().get(name)
        hashed = _HASHED.fullmatch(name) is not None
        if path is None or name.endswith(".html"):
            if self._files and _TILE.fullmatch(name):  # nothing but sea there
                return web.Response(status=204, headers={"Cache-Control": _FOR_EVER})
            raise web.HTTPNotFound(text="no such file\n")
        headers = {"Cache-Control": _FOR_EVER if hashed else _ASK_AGAIN, "X-Content-Type-Options": "nosniff"}
        return _file(path, headers)

    def _page(self, name: str, headers: Mapping[str, str]) -> web.StreamResponse:
        path = self._listed().get(name)
        if path is None:
            return web.Response(status=503, text=NOT_BUILT, headers={"Cache-Control": "no-store"})
        return _file(path, {**self._page_headers, **headers})

    def _listed(self) -> Mapping[str, Path]:
        """The built files by name; listed anew when the build was."""
        build = tuple(_stamp(self._static / name) for name in _STAMPED)
        if build != self._build:
            files = (path for path in self._static.rglob("*") if path.is_file())
            found = {path.relative_to(self._static): path for path in files if path.suffix not in _COMPRESSED}
            # No file of a tool or an editor, which begin with a dot, nor what is in a folder of theirs.
            self._files = {
                name.as_posix(): path
                for name, path in found.items()
                if not any(part.startswith(".") for part in name.parts)
            }
            self._build = build
        return self._files


def _stamp(path: Path) -> int | None:
    """When ``path`` was last changed, None when it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _file(path: Path, headers: Mapping[str, str]) -> web.FileResponse:
    """The file, or its compressed neighbour for whoever takes brotli or gzip (aiohttp sees to that)."""
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return web.FileResponse(path, headers={**headers, "Content-Type": kind})


__all__ = ["NOT_BUILT", "STATIC", "add_pages", "content_security_policy"]
