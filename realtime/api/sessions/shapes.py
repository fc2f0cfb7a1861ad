"""Bodies and answers about sessions and pairing."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from realtime.api.framework.shapes import Cursor, Identifier, Ok

SessionId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{22}$(?!\n)", description="public; opens nothing")]
Overseer = Literal["dispatcher", "admin", "service"]
Vendors = Annotated[list[str] | Literal["*"], Meta(description='`"*"`: every vendor of the tenant')]


class SessionPath(Struct, forbid_unknown_fields=True):
    """A session, by its public id."""

    session_id: SessionId


class SessionsQuery(Struct, forbid_unknown_fields=True):
    """Which page of sessions."""

    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="sessions on a page at most")] = 100


class SessionBody(Struct):
    """Nothing: the token says it all, and what is sent is not read."""


class WhoAmI(Struct, kw_only=True):
    """Who is asking."""

    ok: Ok = True
    session_id: Annotated[str | None, Meta(description="null when a token was shown")]
    name: Annotated[str, Meta(description="the token's `sub`")]
    role: Literal["driver", "dispatcher", "admin", "service"]
    tenant: str
    vendors: Vendors
    expires_at: int
    now_ms: int


class SessionView(Struct):
    """Where somebody is signed in."""

    session_id: str
    name: str
    role: Overseer
    created_at: int
    seen_at: Annotated[int, Meta(description="last use, to about a minute")]
    expires_at: int
    address: str
    user_agent: str
    current: Annotated[bool, Meta(description="whether it is the one that asks")]


class Sessions(Struct, kw_only=True):
    """A page of sessions."""

    ok: Ok = True
    sessions: list[SessionView]
    next_cursor: str | None


class PairingRequest(Struct, forbid_unknown_fields=True):
    """Which driver a phone is to be paired with."""

    vendor: Identifier
    driver: Identifier
    name: (
        Annotated[str, Meta(max_length=200, description="how messages speak of the driver, if not yet set")]
        | None
    ) = None


class NewPairing(Struct, kw_only=True):
    """An address to show as a QR code. Its code is shown here and never again."""

    ok: Ok = True
    url: str
    jti: Annotated[str, Meta(description="of the token that the phone will have: for its revocation")]
    expires_at: int


class PairingPath(Struct, forbid_unknown_fields=True):
    """A pairing, by the `jti` of the token that its phone has or will have."""

    jti: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]


class PairingCode(Struct, forbid_unknown_fields=True):
    """What stood behind `#pair=`."""

    code: Annotated[str, Meta(max_length=256)]


class Paired(Struct, kw_only=True):
    """The phone is the driver's now."""

    ok: Ok = True
    token: str
    driver: str
    vendor: str
    tenant: str
    expires_at: int
    safety_url: str = ""
    """Where the app sends an SOS by HTTP first; empty: nowhere special."""
