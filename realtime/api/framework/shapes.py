"""Paths, queries, bodies and answers of the HTTP API, which the OpenAPI document is made from."""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from alerts.alert import State
from alerts.ports import Durability
from geo.position import SEQ_MAX, T_MS_MAX, Point

# `$` alone would let a trailing newline through in Python; the look-ahead means the same in ECMAScript.
Identifier = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~@:+-]*$(?!\n)", min_length=1, max_length=64)
]
ShareId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$(?!\n)", min_length=1, max_length=64)]
Jti = Annotated[str, Meta(pattern=r"^[^\u0000-\u001f\u007f]+$(?!\n)", min_length=1, max_length=128)]
Cursor = Annotated[str, Meta(max_length=256, description="`next_cursor` of the page before; opaque")]
Millis = Annotated[int, Meta(ge=0, le=T_MS_MAX, description="milliseconds since the epoch, UTC")]
Scope = Literal["live", "journey"]
Ok = Annotated[bool, Meta(extra_json_schema={"const": True})]

MAX_SHARE_S: Final = 30 * 86_400
POINTS_PAGE: Final = 5_000


# --- paths
class NoPath(Struct, forbid_unknown_fields=True):
    """A path without parameters."""


class VendorPath(Struct, forbid_unknown_fields=True):
    """A vendor of the caller's tenant."""

    vendor: Identifier


class JourneyPath(Struct, forbid_unknown_fields=True):
    """A journey, by the id the server gave it."""

    journey_id: UUID


class SharePath(Struct, forbid_unknown_fields=True):
    """A share, by the part of its link before the ``#``."""

    share_id: ShareId


# --- queries
class NoQuery(Struct, forbid_unknown_fields=True):
    """No query parameters."""


class PositionsQuery(Struct, forbid_unknown_fields=True):
    """Which page of a vendor's drivers."""

    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=5_000, description="drivers on a page at most")] = 1_000


class VendorsQuery(Struct, forbid_unknown_fields=True):
    """Which page of the vendors."""

    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="vendors on a page at most")] = 100


class JourneysQuery(Struct, forbid_unknown_fields=True):
    """Which journeys; all filters narrow."""

    vendor: Identifier | None = None
    driver: Identifier | None = None
    from_ms: (
        Annotated[
            int, Meta(ge=0, le=T_MS_MAX, description="begun at or after this, by the server's clock, in ms")
        ]
        | None
    ) = field(name="from", default=None)
    to_ms: (
        Annotated[int, Meta(ge=0, le=T_MS_MAX, description="begun before this, by the server's clock, in ms")]
        | None
    ) = field(name="to", default=None)
    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="journeys on a page at most")] = 100


class PointsQuery(Struct, forbid_unknown_fields=True):
    """Which points of a journey, and how they are written."""

    since_seq: Annotated[int, Meta(ge=0, le=SEQ_MAX, description="only points after this seq")] = 0
    limit: (
        Annotated[
            int, Meta(ge=1, le=POINTS_PAGE, description="points on a page of `format=json`; default 1,000")
        ]
        | None
    ) = None
    format: Annotated[
        Literal["json", "geojson", "gpx"], Meta(description="`geojson` and `gpx` give all of them at once")
    ] = "json"


class SharesQuery(Struct, forbid_unknown_fields=True):
    """Which page of the shares of a journey or an alert."""

    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="shares on a page at most")] = 100


# --- bodies
class NoBody(Struct):
    """No body is read."""


class ShareRequest(Struct, forbid_unknown_fields=True):
    """What a link opens and for how long."""

    scope: Annotated[
        Scope,
        Meta(
            description="`live`: only where they are now; `journey`: the way they came too, "
            "of an alert's journey from the press on"
        ),
    ]
    expires_in_s: Annotated[int, Meta(ge=1, le=MAX_SHARE_S, description="seconds from now, at most 30 days")]
    may_answer: Annotated[
        bool, Meta(description="whether its holder may answer alerts; `name` says who that is then")
    ] = False
    name: Annotated[str, Meta(max_length=200, description="who is given the link")] = ""
    follows: Annotated[
        bool,
        Meta(
            description="whether the link is to the journey's driver, and goes on with the next journey "
            "until it expires; not for a link to an alert"
        ),
    ] = False


class Revocation(Struct, forbid_unknown_fields=True):
    """A token that must not be let in any more: exactly one of `jti` and `token`."""

    jti: (
        Annotated[Jti, Meta(description="the token's `jti` claim; for those who oversee all vendors")] | None
    ) = None
    token: (
        Annotated[str, Meta(max_length=8_192, description="the token itself; it may have expired")] | None
    ) = None
    expires_at: (
        Annotated[
            Millis,
            Meta(
                description="not needed: a revocation by `jti` is kept for ever, one by `token` as long as "
                "that could be used; one in the past is `invalid`"
            ),
        ]
        | None
    ) = None


# --- answers
class Done(Struct, kw_only=True):
    """It is done."""

    ok: Ok = True


class Presence(Struct):
    """Whether a driver is there."""

    state: Annotated[str, Meta(description="`online`, `stale` or `offline`")]
    since_ms: int
    reason: str | None


class DriverPosition(Struct):
    """A driver's newest position."""

    driver: str
    journey_id: str | None
    point: Point | None
    received_ms: int | None
    age_ms: (
        Annotated[
            int, Meta(ge=0, description="from the fix, or its arrival if that was earlier, to `now_ms`")
        ]
        | None
    )
    presence: Presence | None
    journey_open: Annotated[
        bool | None,
        Meta(description="whether the driver has an open journey; null while Postgres cannot say"),
    ] = None


class Vendors(Struct, kw_only=True):
    """A page of vendors in the order of their ids."""

    ok: Ok = True
    vendors: list[str]
    next_cursor: str | None


class VendorPositions(Struct, kw_only=True):
    """A page of a vendor's drivers in the order of their ids."""

    ok: Ok = True
    vendor: str
    now_ms: int
    positions: list[DriverPosition]
    next_cursor: str | None


class Journey(Struct):
    """A journey without its points. Times are ms since the epoch."""

    journey_id: UUID
    client_journey_id: UUID
    vendor: str
    driver: str
    state: Literal["open", "ended", "expired"]
    started_at: Annotated[int, Meta(description="by the app's clock")]
    created_at: Annotated[int, Meta(description="by the server's clock")]
    ended_at: int | None
    last_seq: Annotated[int, Meta(description="seqs 1 to this are stored")]
    final_seq: Annotated[int, Meta(description="the last seq there will be")] | None
    vehicle: str | None


class JourneyDetail(Journey):
    """A journey with what the app said about it."""

    destination: Raw | None
    route: Raw | None


class JourneyPage(Struct, kw_only=True):
    """A page of journeys, newest first."""

    ok: Ok = True
    journeys: list[Journey]
    next_cursor: str | None


class OneJourney(Struct, kw_only=True):
    """One journey."""

    ok: Ok = True
    journey: JourneyDetail


class JourneyPoints(Struct, kw_only=True):
    """A page of points in seq order. A void has null `t_ms`, `lat` and `lon`."""

    ok: Ok = True
    journey_id: UUID
    points: list[Point]
    voided: Annotated[list[tuple[int, str]], Meta(description="the voids among them, and why: seq, reason")]
    clock_odd: Annotated[
        list[int],
        Meta(description="the seqs among them whose `t_ms` was 30 days behind or a day ahead of us"),
    ]
    through: Annotated[int, Meta(description="the last seq on this page: `since_seq` of the next")]
    more: bool


class NewShare(Struct, kw_only=True):
    """A link to hand out. Its secret is shown here and never again."""

    ok: Ok = True
    id: str
    url: str
    expires_at: int


class ShareView(Struct):
    """Somebody opened the link: one row for each address and program, however often it came back."""

    address: str
    user_agent: str
    first_at: int
    last_at: int
    times: int


class Share(Struct):
    """A link that was handed out, with who opened it, the latest first."""

    id: str
    scope: Scope
    created_at: int
    created_by: str
    expires_at: int
    lasts_until: Annotated[int, Meta(description="`expires_at`, or later: an open SOS keeps a link good")]
    revoked_at: int | None
    may_answer: bool
    name: Annotated[str, Meta(description="who was given it, when it may answer")]
    views: list[ShareView]
    follows: Annotated[
        bool, Meta(description="whether it is to the driver, and goes on with the next journey")
    ]


class Shares(Struct, kw_only=True):
    """A page of the links to a journey or an alert, newest first."""

    ok: Ok = True
    shares: list[Share]
    next_cursor: str | None


class PositionsAck(Struct, kw_only=True):
    """Committed up to `through`; `voided`: the seqs of this batch without a position, and why."""

    ok: Ok = True
    through: int
    voided: list[tuple[int, str]]
    latest_refused: Annotated[str, Meta(description="why `latest` was not shown")] | UnsetType = UNSET


class SosRequest(Struct):
    """A cry for help. Only `sos_id` is needed: whatever else is wrong is dropped and noted, not refused."""

    sos_id: Annotated[UUID, Meta(description="made by the app, once a cry; the same again is the same alert")]
    kind: Literal["sos", "crash", "fall"] = "sos"
    pressed_at: Annotated[int, Meta(description="by the app's clock")] | None = None
    journey_id: UUID | None = None
    point: Point | None = None
    message: str | None = None
    silent: Annotated[bool, Meta(description="nothing is shown or heard on the phone")] = False
    drill: bool = False


class SosAck(Struct, kw_only=True):
    """It is kept: `committed` in the database; with that away, `replicated` on several disks or `local`."""

    ok: Ok = True
    alert_id: UUID
    state: State
    durability: Durability


class Healthy(Struct, kw_only=True):
    """The process is alive."""

    ok: Ok = True


class Ready(Struct, kw_only=True):
    """The process takes traffic."""

    ok: Ok = True
    checks: dict[str, bool] | UnsetType = UNSET
    """Not in the answer to a request that a proxy forwarded; nor are ``warnings``."""
    warnings: dict[str, str] | UnsetType = UNSET
    """What an operator has to mend although the process takes traffic."""
