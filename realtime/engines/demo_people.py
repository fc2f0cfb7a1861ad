"""Whom the demo's SOS reaches: a contact whose phone and mail are verified, a dispatcher's device, a policy.

All of it by the public API, as an integrator would do it; codes are read where the stand-ins show them.
Whatever is there already is left as it is.
"""

import re
import time
import urllib.error
from collections.abc import Callable
from typing import Any

from realtime.auth.tokens import Role, mint
from realtime.engines import local
from realtime.engines.console import Console
from realtime.engines.demo import CONTACT, DRIVER, TENANT, VENDOR, call, outside_url, sent
from realtime.engines.plan import SystemPlan, local_host

_CONTACT = {
    "name": CONTACT,
    "phone": "+12025550143",
    "email": "jo.reed@wayguard.example",
    "time_zone": "Europe/London",
}
_POLICY = {
    "steps": [
        {"contacts": ["dispatch", "*"], "channels": ["socket", "push", "sms", "email"], "wait_s": 30},
        {"contacts": ["*"], "channels": ["call"], "wait_s": 60},
    ],
    "loops": 3,
}
_TOKEN_S = 600.0
_ATTEMPTS = 40
_PAUSE_S = 0.25

Ask = Callable[..., dict[str, Any]]


def introduce(plan: SystemPlan, console: Console) -> None:
    """Make the people. What stands in the way is said, and does not stop the demo. Blocks for seconds."""
    assert plan.outside is not None
    try:
        _introduce(f"http://{local_host(plan.host)}:{plan.port}", outside_url(plan.outside), _minter(plan))
    except urllib.error.HTTPError as error:
        said = error.read(300).decode(errors="replace")
        console.error(f"the demo's contact could not be made: {error.code} {said}")
    except (OSError, LookupError, ValueError) as error:
        console.error(f"the demo's contact could not be made: {error}")


def _minter(plan: SystemPlan) -> Callable[[Role], str]:
    settings = local.completed(plan.settings)
    return lambda role: mint(settings, role=role, tenant=TENANT, vendors=[VENDOR], ttl_s=_TOKEN_S)


def _introduce(base: str, outside: str, token_of: Callable[[Role], str]) -> None:
    admin = token_of("admin")

    def ask(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return call(method, f"{base}/api/v1{path}", admin, body)

    contact = _contact(ask)
    ask("PUT", f"/drivers/{DRIVER}/safety", {"name": "Alex Reed"})
    for channel, address in (("sms", "phone"), ("email", "email")):
        if not contact[address]["counts"]:
            _verify(ask, outside, contact["contact_id"], channel, str(_CONTACT[address]))
    ask("PUT", f"/policies/sos?driver={DRIVER}", _POLICY)
    device = {"push_token": "demo-phone-of-the-dispatcher", "platform": "android"}
    call("POST", f"{base}/api/v1/devices", token_of("dispatcher"), device)
    _close_old(ask)


def _contact(ask: Ask) -> dict[str, Any]:
    try:
        found = ask("GET", f"/contacts?driver={DRIVER}&vendor={VENDOR}")["contacts"]
    except urllib.error.HTTPError:
        found = []  # nobody has heard of the driver yet
    for one in found:
        if one["name"] == _CONTACT["name"] and one["phone"] and one["email"]:
            return dict(one)
    made = ask("POST", "/contacts", {**_CONTACT, "vendor": VENDOR, "driver": DRIVER})
    return dict(made["contact"])


def _verify(ask: Ask, outside: str, contact_id: str, channel: str, address: str) -> None:
    """Have a code sent, read it at the stand-ins, type it in."""
    since_ms = time.time() * 1000 - 1
    ask("POST", f"/contacts/{contact_id}/codes", {"channel": channel})
    code = _code(outside, "mail" if channel == "email" else "sms", address, since_ms)
    ask("POST", f"/contacts/{contact_id}/verify", {"channel": channel, "code": code})


def _code(outside: str, kind: str, address: str, since_ms: float) -> str:
    for _ in range(_ATTEMPTS):
        for one in sent(outside):
            if one["kind"] == kind and one["to"] == address and one["at_ms"] >= since_ms:
                found = re.search(r"(?<![0-9])[0-9]{6}(?![0-9])", one["title"] + " " + one["text"])
                if found:
                    return found[0]
        time.sleep(_PAUSE_S)
    raise LookupError(f"no code came by {kind}")


def _close_old(ask: Ask) -> None:
    """An alert left open by an earlier demo would take the new press in, and nothing would be seen of it."""
    for alert in ask("GET", f"/alerts?driver={DRIVER}")["alerts"]:
        if alert["closed_at"] is None:
            ask("POST", f"/alerts/{alert['alert_id']}/resolve", {"note": "left over from an earlier demo"})
