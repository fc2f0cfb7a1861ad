"""What the pages' routes answer: types, headers, caching, and a plain sentence when nothing is built."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from realtime.pages.routes import NOT_BUILT, add_pages, content_security_policy
from realtime.settings import Settings


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A build in small: a page each, a hashed script with its compressed copy, workers, a tile."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "basemap-0a1b2c" / "0" / "0").mkdir(parents=True)
    (tmp_path / "index.html").write_text("<!doctype html><title>old</title>")
    (tmp_path / "console.html").write_text("<!doctype html><title>fleet</title>")
    (tmp_path / "drive.html").write_text("<!doctype html><title>drive</title>")
    (tmp_path / "sw.js").write_text("3;")
    (tmp_path / "sw.js.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "manifest.webmanifest").write_text("{}")
    (tmp_path / "share.html").write_text("<!doctype html><title>share</title>")
    (tmp_path / "assets" / "app-AbCd_123.js").write_text("1;")
    (tmp_path / "assets" / "app-AbCd_123.js.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "assets" / "app-AbCd_123.js.br").write_bytes(b"\x8b\x00")
    (tmp_path / "assets" / "worker-AbCd_123.mjs").write_text("2;")
    (tmp_path / "basemap-0a1b2c" / "0" / "0" / "0.pbf").write_bytes(b"\x1a\x00")
    (tmp_path.parent / "secret.txt").write_text("outside")
    return tmp_path


class Site:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def get(self, path: str, **headers: str) -> tuple[int, Any, bytes]:
        url = f"{self.url}{path}"
        options: dict[str, Any] = {"auto_decompress": False, "allow_redirects": False}
        async with self.session.get(url, headers=headers, **options) as answer:
            return answer.status, answer.headers, await answer.read()


async def serving(static: Path, settings: Settings) -> AsyncIterator[Site]:
    app = web.Application()
    add_pages(app, settings, static)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Site(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


@pytest.fixture
async def site(built: Path) -> AsyncIterator[Site]:
    settings = Settings(
        stale_after_s=45,
        map_style_url="https://maps.example/style.json",
        safety_url="https://sos.example:8443/",
    )
    async for site in serving(built, settings):
        yield site


PAGES = [("/console", b"fleet"), ("/drive", b"drive"), ("/s/abc", b"share")]


@pytest.mark.parametrize(("path", "title"), PAGES)
async def test_a_page_lets_nothing_in_and_nothing_out(site: Site, path: str, title: bytes) -> None:
    status, headers, body = await site.get(path)
    assert status == 200
    assert title in body
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "name", [".built-from", ".git/config", "assets/.app.js.swp", ".well-known/x.json", "basemap-0/.DS_Store"]
)
async def test_no_dot_file_and_nothing_in_a_dot_folder_is_served(
    built: Path, tmp_path: Path, name: str
) -> None:
    static = tmp_path / "with-dots"
    shutil.copytree(built, static)
    (static / name).parent.mkdir(parents=True, exist_ok=True)
    (static / name).write_text("hidden")
    async for site in serving(static, Settings()):
        assert (await site.get("/console"))[0] == 200
        status, _, body = await site.get(f"/pages/{name}")
        assert status == 404 and b"hidden" not in body


async def test_the_front_door_leads_to_the_console(site: Site) -> None:
    status, headers, body = await site.get("/")
    assert (status, headers["Location"], body) == (302, "/console", b"")


async def test_a_shared_page_is_kept_by_nobody(site: Site) -> None:
    _, headers, _ = await site.get("/s/abc")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"


@pytest.mark.parametrize("path", ["/console", "/drive", "/drive/sw.js", "/drive/manifest.webmanifest"])
async def test_what_is_not_hashed_is_asked_for_again(site: Site, path: str) -> None:
    assert (await site.get(path))[1]["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(("path", "title"), PAGES)
async def test_only_driving_needs_the_place_and_a_screen_that_stays_on(
    site: Site, path: str, title: bytes
) -> None:
    _, headers, _ = await site.get(path)
    allowed = dict(rule.split("=") for rule in headers["Permissions-Policy"].split(", "))
    own = "(self)" if path == "/drive" else "()"
    assert allowed == {"camera": "()", "microphone": "()", "geolocation": own, "screen-wake-lock": own}


async def test_the_service_worker_may_serve_the_page_above_its_folder(site: Site) -> None:
    status, headers, body = await site.get("/drive/sw.js", **{"Accept-Encoding": "identity"})
    assert (status, body) == (200, b"3;")
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert headers["Service-Worker-Allowed"] == "/drive"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    _, headers, body = await site.get("/drive/sw.js", **{"Accept-Encoding": "gzip"})
    assert (headers["Content-Encoding"], body) == ("gzip", b"\x1f\x8b")
    assert headers["Service-Worker-Allowed"] == "/drive"


async def test_the_manifest_is_one(site: Site) -> None:
    status, headers, body = await site.get("/drive/manifest.webmanifest")
    assert (status, headers["Content-Type"], body) == (200, "application/manifest+json", b"{}")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("assets/app-AbCd_123.js", "text/javascript; charset=utf-8"),
        ("assets/worker-AbCd_123.mjs", "text/javascript; charset=utf-8"),
        ("basemap-0a1b2c/0/0/0.pbf", "application/x-protobuf"),
    ],
)
async def test_hashed_files_are_good_for_ever_and_of_their_type(site: Site, name: str, kind: str) -> None:
    status, headers, _ = await site.get(f"/pages/{name}")
    assert status == 200
    assert headers["Content-Type"] == kind
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("takes", "encoding", "copy"),
    [("gzip", "gzip", b"\x1f\x8b"), ("br", "br", b"\x8b\x00"), ("gzip, deflate, br", "br", b"\x8b\x00")],
)
async def test_whoever_takes_it_gets_the_compressed_copy(
    site: Site, takes: str, encoding: str, copy: bytes
) -> None:
    _, headers, body = await site.get("/pages/assets/app-AbCd_123.js", **{"Accept-Encoding": takes})
    assert headers["Content-Encoding"] == encoding
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert body == copy


async def test_whoever_takes_none_gets_the_file(site: Site) -> None:
    refusing = {"Accept-Encoding": "identity"}
    _, headers, body = await site.get("/pages/assets/app-AbCd_123.js", **refusing)
    assert "Content-Encoding" not in headers
    assert body == b"1;"


async def test_a_tile_of_open_sea_is_empty_and_not_an_error(site: Site) -> None:
    status, headers, body = await site.get("/pages/basemap-0a1b2c/6/1/2.pbf")
    assert (status, body) == (204, b"")
    assert "immutable" in headers["Cache-Control"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "assets/../../secret.txt",
        "assets",
        "nothing.js",
        "index.html",
        "assets/app-AbCd_123.js.gz",
        "assets/app-AbCd_123.js.br",
        "basemap-0a1b2c/0/0/x.pbf",
        "a%00b",
    ],
)
async def test_only_built_files_are_served(site: Site, name: str) -> None:
    status, _, body = await site.get(f"/pages/{name}")
    assert status == 404
    assert b"outside" not in body


async def test_the_configuration_comes_from_settings(site: Site) -> None:
    status, headers, body = await site.get("/pages/config.json")
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert json.loads(body) == {
        "map_style_url": "https://maps.example/style.json",
        "tick_ms": 100,
        "stale_after_s": 45.0,
        "safety_url": "https://sos.example:8443",
    }


def directives(settings: Settings) -> dict[str, list[str]]:
    rules = (rule.split() for rule in content_security_policy(settings).split("; "))
    return {name: sources for name, *sources in rules}


def test_the_policy_names_only_this_server_by_default() -> None:
    policy = directives(Settings(public_url="https://track.example"))
    assert policy["connect-src"] == ["'self'", "wss://track.example"]
    assert policy["script-src"] == ["'self'"]
    assert policy["manifest-src"] == ["'self'"]
    assert "'self'" in policy["worker-src"]


def test_a_page_may_send_an_sos_to_the_safety_address_and_load_nothing_from_it() -> None:
    policy = directives(Settings(safety_url="https://sos.example:8443"))
    assert "https://sos.example:8443" in policy["connect-src"]
    assert [name for name, sources in policy.items() if "https://sos.example:8443" in sources] == [
        "connect-src"
    ]


def test_the_policy_names_a_map_styles_origin_and_no_more_of_it() -> None:
    policy = directives(Settings(map_style_url="https://maps.example:8443/styles/a.json?key=k"))
    assert policy["connect-src"] == ["'self'", "ws://127.0.0.1:8000", "https://maps.example:8443"]
    assert "https://maps.example:8443" in policy["img-src"]
    assert policy["script-src"] == ["'self'"]


@pytest.mark.parametrize(
    "url", ["javascript:alert(1); script-src *", "https://a; script-src *", "/local.json"]
)
def test_a_style_url_cannot_smuggle_a_directive(url: str) -> None:
    unchecked = Settings().model_copy(update={"map_style_url": url})
    assert directives(unchecked) == directives(Settings())


async def test_without_a_build_pages_say_what_to_run_and_work_once_it_is_there(
    built: Path, tmp_path: Path
) -> None:
    static = tmp_path / "static"
    async for site in serving(static, Settings()):
        for path in ("/console", "/drive", "/drive/sw.js", "/drive/manifest.webmanifest", "/s/abc"):
            status, _, body = await site.get(path)
            assert (status, body.decode()) == (503, NOT_BUILT)
        assert (await site.get("/pages/assets/app.js"))[0] == 404
        static.mkdir()
        (static / "console.html").write_text("built")
        assert (await site.get("/console"))[0] == 200
        assert (await site.get("/drive"))[0] == 503
        (static / "drive.html").write_text("built")
        assert (await site.get("/drive"))[0] == 200
        (static / "assets").mkdir()
        (static / "assets" / "app-AbCd_123.js").write_text("1;")
        assert (await site.get("/pages/assets/app-AbCd_123.js"))[0] == 200, "a new build is seen"


OF_A_PAGE = {
    "/console": b"fleet", "/console/": b"fleet", "/Console": b"fleet", "/console%23token=a.b.c": b"fleet",
    "/drive/": b"drive", "/Drive": b"drive", "/drive%23pair=k3J": b"drive", "/drive%2523pair=k3J": b"drive",
    "/drive*pair=k3J": b"drive", "/drive&": b"drive", "/drive.": b"drive", "/DRIVE%23pair=k3J": b"drive",
    "/s": b"share", "/s/": b"share", "/s/abc": b"share", "/s/abc/": b"share", "/s/abc%23q8Z": b"share",
    "/s/abc%2523q8Z": b"share", "/s/abc/%23q8Z": b"share", "/s/abc/q8Z": b"share", "/S/abc": b"share",
    "/s/abc).": b"share", "/s/abc%20": b"share", "/s/abc%0D%0A": b"share", "//s/abc": b"share",
    "/s%2Fabc%23q8Z": b"share", "/s/abc%E2%80%8B": b"share", "/s/abc%E2": b"share",
}  # fmt: skip


@pytest.mark.parametrize(("path", "title"), OF_A_PAGE.items())
async def test_a_page_is_served_at_a_link_that_was_changed_on_the_way(
    site: Site, path: str, title: bytes
) -> None:
    status, _, body = await site.get(path)
    assert (status, title in body) == (200, True)


WRONG = (
    "/consoles",
    "/drives",
    "/share/abc",
    "/sos",
    "/x",
    "/index.html",
    "/drive-now",
    "/aa",
    "/.env",
    "/s-1",
)


@pytest.mark.parametrize("path", WRONG)
async def test_a_wrong_address_is_a_page_that_helps(site: Site, path: str) -> None:
    status, headers, body = await site.get(path)
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"There is nothing at this address" in body
    assert b'href="tel:112"' in body
    assert path.encode() not in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"), ("fr", "fr"), ("ar-EG", "ar"), ("pt_BR", "pt"), ("hi", "hi"),
        ("es-419;q=0.4, en;q=0.3", "es"), ("nl, de;q=0.5", "de"), ("nl", "en"), ("", "en"), ("*", "en"),
        ("en;q=0.2,de;q=0.9", "de"), ("de;q=0", "en"), ("de;q=x", "en"), ("<b>", "en"), ("x" * 5_000, "en"),
    ],
)  # fmt: skip
async def test_the_page_that_helps_speaks_the_readers_language(
    site: Site, wishes: str, language: str
) -> None:
    _, headers, body = await site.get("/nothing", **{"Accept-Language": wishes})
    assert f'<html lang="{language}"'.encode() in body
    assert headers["Vary"] == "Accept-Language"


@pytest.mark.parametrize(
    "path", ["/pages/nothing.js", "/api/nothing", "/hooks/x", "/answers/x", "/socket.io/x"]
)
async def test_programs_are_not_answered_by_a_page(site: Site, path: str) -> None:
    status, headers, _ = await site.get(path)
    assert status == 404
    assert "html" not in headers["Content-Type"]
