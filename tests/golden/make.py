"""Makes the golden files. Made with release 9ecb5eb, before the modules were moved and classes renamed.

Not run again: the files stand for what earlier releases left on disks, in Redis and in links. A later
release reads them as they are; a new format gets new files beside them. Keys, ids and clock are fixed, random
numbers of the encryption are not.
"""

import asyncio
import base64
import hmac
import json
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import msgspec

from tests.alerts.ledger_contract import ALL as CHANNELS
from tests.alerts.ledger_contract import CIRCUMSTANCES, LEASE_S, OPERATOR, Acknowledged, UpTo, a_press
from tests.golden import names
from tests.golden.surface import flags_of, surface

FOLDER = Path(__file__).parent / "files"
SECRET = "golden-secret-of-32-characters-ok"
NOW_MS = 1_800_000_000_000
EXPIRES_MS = 4_000_000_000_000
ALERT = UUID("0190a000-0000-7000-8000-000000000001")
CONTACT = "0190a000-0000-7000-8000-0000000000c1"


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    _write("surface", {**surface(), "flags": {command: flags_of(command) for command in names.COMMANDS}})
    _write("tokens", _tokens())
    _write("bus", _bus())
    asyncio.run(_journal())


def _write(name: str, value: Any) -> None:
    (FOLDER / f"{name}.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def _tokens() -> dict[str, Any]:
    purposes = ("answer-link", "share-link", *(f"answer-link-{number}" for number in range(1, 8)))
    settings = names.Settings(auth_secret=SECRET)
    key = names.signing_key(settings.alerts_key)
    share_id, random = "goldenShareId", "goldenSecretOfAShare"
    signature = base64.urlsafe_b64encode(hmac.digest(key, f"{share_id}.{random}".encode(), "sha256")[:12])
    return {
        "answers": [
            {"token": names.make_token(SECRET, ALERT, who, EXPIRES_MS + step * 1000), "contact": who,
             "expires_ms": EXPIRES_MS + step * 1000}
            for who, step in _chosen()
        ],
        "answers_with_first_key": [
            {"token": _first_key(who, EXPIRES_MS + step * 1000), "contact": who,
             "expires_ms": EXPIRES_MS + step * 1000}
            for who, step in _chosen()
        ],
        "alerts_key": settings.alerts_key,
        "derived": {purpose: names.derive(SECRET, purpose).hex() for purpose in purposes},
        "local": {what: names.local_key(settings, what).hex() for what in ("journal", "directory", "copy")},
        "share": {"id": share_id, "secret": random + signature.decode()},
        "cookies": {
            url: names.SessionCookie.at(url).setting("value", 60)
            for url in ("http://localhost:8000", "https://example.org")
        },
        "jwt": {
            role: jwt.encode(
                {"sub": f"{role}-1", "role": role, "tenant": "t1", "vendors": vendors, "jti": f"j-{role}",
                 "aud": settings.auth_audience, "iss": settings.auth_issuer, "iat": 1_700_000_000,
                 "exp": EXPIRES_MS // 1000, **more},
                SECRET, algorithm="HS256",
            )
            for role, vendors, more in (
                ("driver", ["v1"], {"driver": "d1"}), ("dispatcher", ["v1", "v2"], {}), ("admin", "*", {}),
            )
        },
    }  # fmt: skip


def _chosen() -> list[tuple[str, int]]:
    """Four expiries for each contact, and those of which the first key makes a token that ends in - or _."""
    every = [(who, step) for who in (CONTACT, "dispatch") for step in range(200)]
    return [
        (who, step)
        for who, step in every
        if step < 4 or _first_key(who, EXPIRES_MS + step * 1000)[-1] in "-_"
    ]


def _first_key(who: str, expires_ms: int) -> str:
    """A token as made before token ends were changed: always signed with the first key."""
    head = ALERT.bytes + (expires_ms // 1000).to_bytes(5)
    body = b"\x01" + head + UUID(who).bytes if who == CONTACT else b"\x02" + head + who.encode()
    mac = hmac.digest(names.derive(SECRET, "answer-link"), body, "sha256")[:16]
    return base64.urlsafe_b64encode(body + mac).rstrip(b"=").decode()


def _bus() -> list[str]:
    pack = names.Sequencer("publisher-1").pack
    items = [names.BusItem("driver:d1", 7, b'{"a":1}'), names.BusItem("driver:d2", 8, b"null")]
    return [pack(names.Message("v:t1/v1", kind, items, NOW_MS)).hex() for kind in ("positions", "alert")]


async def _journal() -> None:
    clock = [NOW_MS]
    key = names.local_key(names.Settings(auth_secret=SECRET), "journal")
    with tempfile.TemporaryDirectory() as folder:
        ledger = await names.LocalLedger.open(Path(folder), key, now_ms=lambda: clock[0], jitter=lambda: 0.5)
        for number, drill in enumerate((False, True, False)):
            press = a_press(clock[0], driver=f"d{number}", sos_id=UUID(int=number + 1), drill=drill)
            taken = await ledger.press(press, CIRCUMSTANCES)
            await ledger.advance(50)
            await ledger.claim("w1", UpTo(CHANNELS, 50), LEASE_S)
            clock[0] += 1_000
            if number == 0:
                await ledger.apply(taken.alert.alert_id, Acknowledged(OPERATOR, "page"))
        joined = a_press(clock[0], driver="d2", sos_id=UUID(int=9))
        await ledger.press(joined, CIRCUMSTANCES)
        kept = sorted(ledger.all(), key=lambda one: str(one.case.alert.alert_id))
        await ledger.close()
        (FOLDER / "journal.hex").write_text((Path(folder) / "journal").read_bytes().rstrip(b"\0").hex())
    _write("journal", [json.loads(msgspec.json.encode(one)) for one in kept])
    (FOLDER / "replica.hex").write_text((names.sealed(key, "field-1", kept[0]) or b"").hex() + "\n")
    _write("replica", json.loads(msgspec.json.encode(kept[0])))


if __name__ == "__main__":
    main()
