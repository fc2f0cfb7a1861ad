"""The links that `wayguard up` prints: the dispatcher's at once, a contact's once the fleet drives, an
answer's once an SOS has gone out to the stand-ins.
"""

import asyncio
import json
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from realtime.auth.tokens import mint
from realtime.engines.console import Console
from realtime.engines.plan import Part, SystemPlan, local_host
from realtime.settings import Settings

TENANT = "demo"
VENDOR = "north"
DRIVER = "sim-01"
"""Whose journey is shared, and who raises the SOS: the first of the simulated fleet."""
CONTACT = "Jo Reed"
"""Who is told of it, and holds the link."""
_WEEK_S = 7 * 86_400
_ATTEMPTS = 60
_SOS_ATTEMPTS = 180
_PAUSE_S = 0.5
_TIMEOUT_S = 5.0


async def announce(plan: SystemPlan, console: Console, settings: Settings) -> None:
    """Say that everything is ready; ``settings`` hold the secret that tokens are signed with."""
    url = settings.public_url
    console.plain(f"\nready: {url}")
    if not settings.auth_secret:
        console.plain("tokens come from the key set in AUTH_JWKS_URL")
        _say_outside(plan, console)
        return
    token = mint(settings, role="dispatcher", tenant=TENANT, vendors=[VENDOR], ttl_s=_WEEK_S)
    if plan.demo is None:
        console.plain("tokens: wayguard token --role dispatcher --tenant TENANT")
        _say_outside(plan, console)
        return
    console.plain(f"  dispatcher  {url}/console#token={token}")
    phone = mint(settings, role="driver", tenant=TENANT, vendors=[VENDOR], driver="you", ttl_s=_WEEK_S)
    console.plain(f"  driver      {url}/drive#token={phone}")
    link = await share_link(f"http://{local_host(plan.host)}:{plan.port}", token)
    if link is None:
        console.error("the demo fleet has no journey to share yet; see its lines above")
    else:
        console.plain(f"  contact     {link}")
    _say_outside(plan, console)
    if plan.outside is not None:
        await _say_answer(plan, console)


def _say_outside(plan: SystemPlan, console: Console) -> None:
    if plan.outside is not None:
        console.plain(f"  outside     {outside_url(plan.outside)}/  (what would have gone out)")
    console.plain("")


async def _say_answer(plan: SystemPlan, console: Console) -> None:
    """The link in the first text message of the SOS that the fleet is about to raise."""
    assert plan.outside is not None
    since_ms = time.time() * 1000
    for _ in range(_SOS_ATTEMPTS):
        with suppress(OSError, LookupError, ValueError):
            taken = await asyncio.to_thread(sent, outside_url(plan.outside))
            links = [one["link"] for one in taken if one["link"] and one["at_ms"] > since_ms]
            if links:
                console.plain(f"\nSOS of the demo, and the page that answers it:\n  answer      {links[-1]}")
                console.plain("  terminal    wayguard alerts\n")
                return
        await asyncio.sleep(_PAUSE_S)
    console.error("no message of the demo's SOS has gone out; see the lines above")


def outside_url(outside: Part) -> str:
    """The page of the stand-ins."""
    return f"http://127.0.0.1:{outside.port}"


def sent(url: str) -> list[dict[str, Any]]:
    """What the stand-ins at ``url`` took, newest first. Raises OSError, LookupError or ValueError."""
    found: list[dict[str, Any]] = call("GET", f"{url}/_sent")["sent"]
    return found


async def share_link(base: str, token: str) -> str | None:
    """A link to a journey that is under way; None when none begins in half a minute."""
    for _ in range(_ATTEMPTS):
        try:
            return await asyncio.to_thread(_make_link, base, token)
        except (OSError, LookupError, ValueError):
            await asyncio.sleep(_PAUSE_S)
    return None


def _make_link(base: str, token: str) -> str:
    found = call("GET", f"{base}/api/v1/journeys?vendor={VENDOR}&driver={DRIVER}&limit=20", token)
    journey = next((one["journey_id"] for one in found["journeys"] if one["state"] == "open"), None)
    if journey is None:
        raise LookupError("no journey is under way")
    body = {"scope": "journey", "expires_in_s": _WEEK_S, "may_answer": True, "name": CONTACT}
    return str(call("POST", f"{base}/api/v1/journeys/{journey}/shares", token, body)["url"])


def call(method: str, url: str, token: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer to a request to our own balancer or stand-ins. Raises OSError, LookupError or ValueError."""
    request = urllib.request.Request(  # noqa: S310  the address is ours
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    # No proxy of the environment stands between us and ourselves.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_TIMEOUT_S) as answer:
        answered: dict[str, Any] = json.load(answer)
    return answered
