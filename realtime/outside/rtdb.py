"""Firebase's Realtime Database by its REST protocol: a tree of JSON, a namespace each.

As the real one: null removes and empty objects vanish; a PATCH takes paths; keys that cannot be are refused,
and paths of one update that lie within each other; dense integer keys come back as an array; ETags guard.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from aiohttp import web

from realtime.outside.web import SimulatedFault, StandIn

MAX_KEY_BYTES: Final = 768
MAX_DEPTH: Final = 32
UPDATES_KEPT: Final = 1_000
_FORBIDDEN: Final = frozenset(".$#[]/") | {chr(code) for code in (*range(32), 127)}
_BAD_KEY: Final = "Invalid data; couldn't parse key. Key value can't be empty or contain $ # [ ] / or ."
_BAD_JSON: Final = "Invalid data; couldn't parse JSON object, array, or value."


class RtdbRejected(Exception):
    """A request the real one refuses; ``args[0]`` is its text."""


class RealtimeDatabaseServer(StandIn):
    """``{url}/{path}.json?ns=…``: GET (``shallow``, ETag), PUT, PATCH, POST, DELETE, ``if-match``, ``print``.

    ``trees``: what is kept, by namespace. ``updates``: the bodies of the last PATCHes that were taken.
    ``keeps`` False: a lie, what is written is answered as taken and is gone.
    """

    def __init__(
        self,
        namespace: str = "wayguard-demo",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        max_key_bytes: int = MAX_KEY_BYTES,
    ) -> None:
        super().__init__(host, port)
        self._keys = _Keys(max_key_bytes)
        self.namespace = namespace
        self.trees: dict[str, Any] = {}
        self.updates: deque[dict[str, Any]] = deque(maxlen=UPDATES_KEPT)
        self.keeps = True
        self._pushed = 0
        self.app.router.add_route("*", "/{path:.*}", self._handle)

    @property
    def database_url(self) -> str:
        """What to set as the database's URL."""
        return f"{self.url}/?ns={self.namespace}"

    @property
    def tree(self) -> Any:
        """All of the usual namespace; None when it is empty."""
        return self.trees.get(self.namespace)

    def at(self, path: str) -> Any:
        """What is at ``path`` of the usual namespace; None when there is nothing."""
        return _get(self.tree, self._keys.segments(path))

    def error_of(self, fault: SimulatedFault, request: web.Request) -> web.Response:
        """As Firebase words it."""
        headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        return web.json_response({"error": "told to fail"}, status=fault.status, headers=headers)

    async def _handle(self, request: web.Request) -> web.Response:
        if not request.path.endswith(".json"):
            return web.json_response({"error": "append .json to your request URI"}, status=404)
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            return web.json_response({"error": "Unauthorized request."}, status=401)
        namespace = request.query.get("ns", "")
        if not namespace:
            return web.json_response({"error": "no namespace"}, status=400)
        try:
            path = self._keys.segments(request.path.removesuffix(".json"))
            return await self._act(request, namespace, path)
        except RtdbRejected as error:
            return web.json_response({"error": str(error)}, status=400)

    async def _act(self, request: web.Request, namespace: str, path: list[str]) -> web.Response:
        here = _get(self.trees.get(namespace), path)
        if request.method == "GET":
            return self._read(request, here)
        expected = request.headers.get("if-match")
        if expected is not None and expected not in ("*", _etag(here)):
            return web.json_response(here, status=412, headers={"ETag": _etag(here)})
        if request.method == "DELETE":
            written: Any = None
            self._set(namespace, path, None)
        elif request.method in ("PUT", "PATCH", "POST"):
            written = await self._write(request, namespace, path)
        else:
            return web.json_response({"error": "method not allowed"}, status=405)
        if request.query.get("print") == "silent":
            return web.Response(status=204)
        now = _get(self.trees.get(namespace), path)
        wants_etag = request.headers.get("X-Firebase-ETag") == "true" or expected is not None
        return web.json_response(written, headers={"ETag": _etag(now)} if wants_etag else {})

    def _read(self, request: web.Request, here: Any) -> web.Response:
        etag = _etag(here)
        if request.headers.get("if-none-match") == etag:
            return web.Response(status=304)
        headers = {"ETag": etag} if request.headers.get("X-Firebase-ETag") == "true" else {}
        if request.query.get("shallow") == "true":
            shallow = dict.fromkeys(here, True) if isinstance(here, dict) else here
            return web.json_response(shallow, headers=headers)
        return web.json_response(_shown(here), headers=headers)

    async def _write(self, request: web.Request, namespace: str, path: list[str]) -> Any:
        try:
            value = msgspec.json.decode(await request.read())
        except msgspec.MsgspecError:
            raise RtdbRejected(_BAD_JSON) from None
        match request.method:
            case "PUT":
                self._set(namespace, path, self._keys.stored(value))
            case "POST":
                self._pushed += 1
                name = f"-N{self._pushed:018d}"
                self._set(namespace, [*path, name], self._keys.stored(value))
                return {"name": name}
            case _:
                self._update(namespace, path, value)
        return value

    def _update(self, namespace: str, path: list[str], value: Any) -> None:
        if not isinstance(value, dict):
            raise RtdbRejected(_BAD_JSON)
        changes = {
            tuple(self._keys.segments(name)): self._keys.stored(content) for name, content in value.items()
        }
        for where in changes:
            if not where:
                raise RtdbRejected(_BAD_KEY)
            if any(where[:depth] in changes for depth in range(1, len(where))):
                raise RtdbRejected("Invalid data; a path is an ancestor of another path in the same update.")
        for where, content in changes.items():
            self._set(namespace, [*path, *where], content)
        self.updates.append(value)

    def _set(self, namespace: str, path: list[str], value: Any) -> None:
        if len(path) > MAX_DEPTH:
            raise RtdbRejected("Invalid data; it is too deep.")
        if not self.keeps:
            return
        tree = _put(self.trees.get(namespace), path, value)
        if tree is None:
            self.trees.pop(namespace, None)
        else:
            self.trees[namespace] = tree


class _Keys:
    """Checks the keys of paths and values as the real one does, with its own bound of length."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def segments(self, path: str) -> list[str]:
        """The keys of ``path``. Raises RtdbRejected."""
        found = [segment for segment in path.split("/") if segment]
        for segment in found:
            self._check(segment)
        return found

    def stored(self, value: Any, depth: int = 0) -> Any:
        """How it is stored: without nulls and empty objects, arrays as objects. Raises RtdbRejected."""
        if depth > MAX_DEPTH:
            raise RtdbRejected("Invalid data; it is too deep.")
        if isinstance(value, list):
            value = {str(place): content for place, content in enumerate(value)}
        if not isinstance(value, dict):
            return value
        found = {}
        for key, content in value.items():
            self._check(key)
            if (inner := self.stored(content, depth + 1)) is not None:
                found[key] = inner
        return found or None

    def _check(self, key: str) -> None:
        if not key or len(key.encode()) > self._max_bytes or not _FORBIDDEN.isdisjoint(key):
            raise RtdbRejected(_BAD_KEY)


def _get(tree: Any, path: list[str]) -> Any:
    for key in path:
        if not isinstance(tree, dict):
            return None
        tree = tree.get(key)
    return tree


def _put(tree: Any, path: list[str], value: Any) -> Any:
    """``tree`` with ``value`` at ``path``; None when nothing is left."""
    if not path:
        return value
    here = dict(tree) if isinstance(tree, dict) else {}
    inner = _put(here.pop(path[0], None), path[1:], value)
    if inner is not None:
        here[path[0]] = inner
    return here or None


def _shown(value: Any) -> Any:
    """As the real one answers: what looks like an array is one."""
    if not isinstance(value, dict):
        return value
    shown = {key: _shown(content) for key, content in value.items()}
    places = list(_places(shown))
    if len(places) == len(shown) and places and len(places) * 2 > max(places):
        return [shown.get(str(place)) for place in range(max(places) + 1)]
    return shown


def _places(value: dict[str, Any]) -> Iterator[int]:
    for key in value:
        if key.isascii() and key.isdigit() and str(int(key)) == key:
            yield int(key)


def _etag(value: Any) -> str:
    if value is None:
        return "null_etag"
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:27]
