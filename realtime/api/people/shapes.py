"""Paths, queries, bodies and answers about contacts, policies, devices and drivers' safety."""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from alerts.alert import Kind
from alerts.attempt import Channel
from realtime.api.framework.shapes import Cursor, Identifier, Ok
from realtime.store.people.contacts import PER_DRIVER
from realtime.store.people.verification_codes import CodeChannel

MAX_STEPS: Final = 20
MAX_NAMES: Final = 500
"""Drivers of one look-up of names: some 15 KB of answer."""
Text = Annotated[str, Meta(max_length=1_000)]
Pin = Annotated[
    str, Meta(min_length=4, max_length=16, description="4 to 8 digits, of any script; `alerts.pin` reads it")
]
"""As it was typed: spaces, hyphens and marks of direction may stand between the digits."""
Position = Annotated[int, Meta(ge=0, le=1_000, description="who is first; smaller is earlier")]


# --- paths
class ContactPath(Struct, forbid_unknown_fields=True):
    """A contact."""

    contact_id: UUID


class KindPath(Struct, forbid_unknown_fields=True):
    """A kind of alert."""

    kind: Kind


class DriverPath(Struct, forbid_unknown_fields=True):
    """A driver of the caller's tenant."""

    driver: Identifier


class DevicePath(Struct, forbid_unknown_fields=True):
    """A device, by the id its registration gave it."""

    device_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]


# --- queries
class ContactsQuery(Struct, forbid_unknown_fields=True):
    """Which contacts; all filters narrow."""

    vendor: Annotated[Identifier, Meta(description="of this vendor and its drivers")] | None = None
    driver: Annotated[Identifier, Meta(description="of this driver alone")] | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="contacts on a page at most")] = 100


class ScopeQuery(Struct, forbid_unknown_fields=True):
    """Whose: a driver's, a vendor's, or (with neither) the tenant's."""

    vendor: Identifier | None = None
    driver: Identifier | None = None


class KindQuery(Struct, forbid_unknown_fields=True):
    """Of which kind of alert."""

    kind: Kind = Kind.SOS


# --- bodies
class NewContact(Struct, forbid_unknown_fields=True):
    """Somebody to be told; with neither `vendor` nor `driver` of the whole tenant, a driver's own
    otherwise.
    """

    name: Text
    vendor: Identifier | None = None
    driver: Identifier | None = None
    language: Text = "en"
    time_zone: Annotated[Text, Meta(description="`UTC` is none: that of the phone's country then")] = "UTC"
    position: Position = 100
    phone: (
        Annotated[
            Text,
            Meta(description="international form, `+` or `00` first; national where one country is meant"),
        ]
        | None
    ) = None
    email: Text | None = None
    webhook_url: Annotated[Text, Meta(description="https; not by drivers")] | None = None
    subject: (
        Annotated[Text, Meta(description="a token's `sub`, whose devices get pushes; not by drivers")] | None
    ) = None


class ContactChange(Struct, forbid_unknown_fields=True):
    """What changes; null takes it away. An address that changes loses its verification."""

    name: Text | UnsetType = UNSET
    language: Text | UnsetType = UNSET
    time_zone: Text | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    phone: Text | UnsetType | None = UNSET
    email: Text | UnsetType | None = UNSET
    webhook_url: Text | UnsetType | None = UNSET
    subject: Text | UnsetType | None = UNSET


class CodeRequest(Struct, forbid_unknown_fields=True):
    """By which channel a code is sent: `sms` and `call` to the phone, `email` to the mail address."""

    channel: CodeChannel


class CodeTry(Struct, forbid_unknown_fields=True):
    """The code as the contact read it."""

    channel: CodeChannel
    code: Annotated[
        str, Meta(max_length=100, description="six digits, in any script, with spaces or without")
    ]


class ContactOrder(Struct, forbid_unknown_fields=True):
    """All of a driver's own contacts, in the order in which they are to be notified."""

    contact_ids: Annotated[list[UUID], Meta(min_length=1, max_length=PER_DRIVER)]


class PolicyStep(Struct, forbid_unknown_fields=True):
    """These contacts by these channels, then wait."""

    contacts: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=64)]],
        Meta(min_length=1, max_length=50, description="contact ids, `*` for all, `dispatch`, `operator`"),
    ]
    channels: Annotated[list[Channel], Meta(min_length=1, max_length=6, description="told together")]
    wait_s: Annotated[int, Meta(ge=10, le=3_600)]
    fallback: Annotated[
        list[Channel],
        Meta(max_length=6, description="for a contact whose channels have all failed or are down"),
    ] = []


class PolicyBody(Struct, forbid_unknown_fields=True):
    """How a kind of alert escalates."""

    steps: Annotated[list[PolicyStep], Meta(min_length=1, max_length=MAX_STEPS)]
    loops: Annotated[int, Meta(ge=1, le=20)] = 3
    countdown_s: Annotated[int, Meta(ge=0, le=300, description="in which a PIN cancels unheard")] = 0
    ack_silence_s: Annotated[int, Meta(ge=60, le=86_400)] = 900
    exhausted_channels: Annotated[
        list[Channel],
        Meta(min_length=1, max_length=6, description="how the operator hears that nobody was reached"),
    ] = field(default_factory=lambda: [Channel.SMS, Channel.EMAIL, Channel.WEBHOOK])


class SafetyBody(Struct, forbid_unknown_fields=True):
    """How messages speak of the driver and to them."""

    name: Text
    language: Text = "en"


class ProfileBody(Struct, forbid_unknown_fields=True):
    """Who the driver is to whoever holds a link that answers."""

    name: Text
    phone: Annotated[
        Text | None,
        Meta(
            description="a number to be called at; shown to holders of answering links and to those who "
            "oversee the driver's vendor"
        ),
    ] = None


class NamesRequest(Struct, forbid_unknown_fields=True):
    """Of which drivers the names are wanted."""

    drivers: Annotated[list[Identifier], Meta(min_length=1, max_length=MAX_NAMES, description="their ids")]


class PinsBody(Struct, forbid_unknown_fields=True):
    """Both PINs at once; null takes one away. Nobody can read them, nor whether there is a duress PIN."""

    cancel: Pin | None
    duress: Pin | None = None
    current: Annotated[Pin, Meta(description="the cancel PIN in force, when there is one")] | None = None


class DeviceBody(Struct, forbid_unknown_fields=True):
    """A push token of the caller's app."""

    push_token: Annotated[str, Meta(pattern=r"^[!-~]+$(?!\n)", min_length=8, max_length=4_096)]
    platform: Literal["android", "ios", "web"]
    language: Text = "en"


# --- answers
class AddressView(Struct):
    """One address of a contact, and whether it counts."""

    address: Annotated[str, Meta(description="masked for those whose contact it is not")]
    verified_at: int | None
    opted_out_at: int | None
    counts: Annotated[bool, Meta(description="verified and not opted out")]


class ContactView(Struct):
    """A contact."""

    contact_id: UUID
    vendor: str | None
    driver: str | None
    name: str
    language: str
    time_zone: str
    position: int
    phone: AddressView | None
    email: AddressView | None
    webhook_url: str | None
    subject: str | None
    created_at: int
    updated_at: int


class OneContact(Struct, kw_only=True):
    """One contact."""

    ok: Ok = True
    contact: ContactView
    webhook_secret: Annotated[
        str | None, Meta(description="what its webhook is signed with; for those who look after it")
    ]


class ContactPage(Struct, kw_only=True):
    """A page of contacts, in order of their ids."""

    ok: Ok = True
    contacts: list[ContactView]
    next_cursor: str | None


class CodeSent(Struct, kw_only=True):
    """A code is on its way; the one before it is void."""

    ok: Ok = True
    expires_at: int


class PolicyView(Struct, kw_only=True):
    """The policy of exactly this scope; `policy` null when none is set there."""

    ok: Ok = True
    kind: Kind
    vendor: str | None
    driver: str | None
    policy: PolicyBody | None
    updated_at: int | None
    updated_by: str | None


class Told(Struct):
    """Somebody in a step: by what they would be told at once, by what if that fails."""

    contact_id: str
    name: str
    channels: list[Channel]
    fallback: list[Channel]


class PlannedStep(Struct):
    """Who would be told `after_s` seconds into a round."""

    after_s: int
    wait_s: int
    told: list[Told]


class Untold(Struct):
    """A contact that would not be told, and why: the words are `no_address`, `not_verified`, `opted_out`,
    `no_device`, `not_in_policy`, `no_channel`.
    """

    contact_id: str
    name: str
    reasons: list[str]


class Escalation(Struct, kw_only=True):
    """Who would be told if the driver raised such an alert now."""

    ok: Ok = True
    driver: str
    vendor: str
    kind: Kind
    source: Annotated[str, Meta(description="whose policy counts: `driver`, `vendor`, `tenant`, `built_in`")]
    countdown_s: int
    loops: int
    steps: list[PlannedStep]
    untold: list[Untold]
    reaches_somebody: Annotated[bool, Meta(description="whether anybody but the live pages would be told")]


class SafetyView(Struct, kw_only=True):
    """What a driver has set; PINs are never shown."""

    ok: Ok = True
    name: str
    language: str
    cancel_pin_set: Annotated[bool, Meta(description="whether the driver's screens show that a PIN cancels")]
    pins_changed_under_duress: (
        Annotated[bool, Meta(description="for overseers alone: the PINs were last changed by the duress PIN")]
        | UnsetType
    ) = UNSET


class ProfileView(Struct, kw_only=True):
    """What the driver is called, and the driver's own number."""

    ok: Ok = True
    name: str
    phone: str | None


class DriverNames(Struct, kw_only=True):
    """Names by the ids of drivers. A driver who has none, or is not the caller's, is left out."""

    ok: Ok = True
    names: dict[str, str]


class DriverChange(Struct):
    """A driver's name or number was changed."""

    at: int
    by_role: str
    by_id: str
    field: Literal["name", "phone"]
    before: Annotated[str | None, Meta(description="of a number its last two digits; null: there was none")]
    after: str | None


class DriverChanges(Struct, kw_only=True):
    """The newest changes of a driver's name and number, the newest first."""

    ok: Ok = True
    changes: list[DriverChange]


class DeviceView(Struct):
    """A registered device."""

    device_id: str
    platform: str
    language: str
    seen_at: int


class DeviceKept(Struct, kw_only=True):
    """The device is registered until it is not shown for 90 days, or its token is revoked."""

    ok: Ok = True
    device_id: str


class Devices(Struct, kw_only=True):
    """The caller's devices, the one seen last first."""

    ok: Ok = True
    devices: list[DeviceView]


class ErasureProof(Struct, kw_only=True):
    """What each place had of the driver and has now. `done` once nothing is left anywhere: else ask again."""

    ok: Ok = True
    done: bool
    erasure_id: UUID
    tenant: str
    driver_sha256: Annotated[str, Meta(description="of tenant, a nul and driver: whom, without the name")]
    asked_by: str
    asked_ms: int
    done_ms: int | None
    places: Annotated[
        dict[str, tuple[int | None, int | None]],
        Meta(description="how much before and after; null for a place that was away"),
    ]
    signature: Annotated[str, Meta(description="HMAC-SHA256 by the key of the alerts; docs/STORAGE.md")]
