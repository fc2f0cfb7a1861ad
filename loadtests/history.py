"""The HTTP API as the accounting needs it: a journey's points, and a share of it."""

import json
import time
import urllib.error
import urllib.request
from typing import Any, Final

TIMEOUT_S: Final = 30.0
TRIES: Final = 8
PAGE: Final = 5_000


class ApiError(Exception):
    """The API would not answer: its status and code."""


def points(url: str, token: str, journey_id: str) -> list[list[Any]]:
    """All points of a journey, in the order in which the API gives them. Raises ApiError."""
    found: list[list[Any]] = []
    while True:
        since = found[-1][0] if found else 0
        page = call(f"{url}/api/v1/journeys/{journey_id}/points?since_seq={since}&limit={PAGE}", token)
        found += page["points"]
        if not page["more"] or not page["points"]:
            return found


def share(url: str, token: str, journey_id: str) -> str:
    """A new share of the whole journey, as ``{id}.{secret}``. Raises ApiError."""
    body = {"scope": "journey", "expires_in_s": 3_600}
    made = call(f"{url}/api/v1/journeys/{journey_id}/shares", token, body)
    _, _, secret = made["url"].partition("#")
    return f"{made['id']}.{secret}"


def call(url: str, token: str, body: dict[str, Any] | None = None) -> Any:
    """The answer to a GET, or to a POST of ``body``. Waits and tries again where the API says so."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    said = ""
    for _ in range(TRIES):
        request = urllib.request.Request(url, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = f"{error.code}: {error.read(300).decode(errors='replace')}"
            if error.code not in (429, 502, 503, 504):
                break
            time.sleep(float(error.headers.get("Retry-After") or 1))
        except OSError as error:
            said = type(error).__name__
            time.sleep(1)
    raise ApiError(said)
