"""Who is told, by which ways, in which order: contacts and policies, and the copy an alert keeps of them. Pure."""

from msgspec import Struct

from alerts.alert import Kind
from alerts.attempt import Channel


class Contact(Struct, frozen=True):
    """Somebody to be told. Only addresses that count are here: verified, not opted out."""

    contact_id: str
    """A UUID; or ``operator`` (a tenant's emergency number from the settings), or ``dispatch`` (the vendor's
    dispatchers, by their live pages and their apps)."""
    name: str
    language: str = "en"
    phone: str | None = None
    """E.164."""
    email: str | None = None
    webhook_url: str | None = None
    push_tokens: tuple[str, ...] = ()
    time_zone: str = "UTC"


class Step(Struct, frozen=True):
    """One step: these contacts (ids, or ``*`` for all), by these channels, then wait.

    ``channels`` are told together; ``fallback`` at once for a contact whose channels have all failed or are down.
    """

    contacts: tuple[str, ...]
    channels: tuple[Channel, ...]
    wait_s: int
    fallback: tuple[Channel, ...] = ()


class Policy(Struct, frozen=True):
    """How a kind of alert escalates. ``loops``: how often the steps are gone through before it is exhausted."""

    steps: tuple[Step, ...]
    loops: int = 3
    countdown_s: int = 0
    ack_silence_s: int = 900
    """An acknowledger silent for this long returns the alert to active; they are reminded at two thirds of it."""
    exhausted_channels: tuple[Channel, ...] = (Channel.SMS, Channel.EMAIL, Channel.WEBHOOK)
    """How the contact ``operator`` is told that nobody was reached."""


class PolicyCopy(Struct, frozen=True):
    """What an alert took along when it was raised: later edits change nothing of an alert under way."""

    policy: Policy
    contacts: tuple[Contact, ...]
    driver_name: str = ""
    language: str = "en"


class Pins(Struct, frozen=True):
    """Hashes (scrypt, ``salt$hash`` hexadecimal) of a driver's PINs; None = none set."""

    cancel: str | None = None
    duress: str | None = None


class Circumstances(Struct, frozen=True):
    """What is known of a driver before a press: the policy by kind, the contacts, the PINs."""

    policies: dict[Kind, Policy]
    contacts: tuple[Contact, ...]
    pins: Pins
    driver_name: str = ""
    language: str = "en"
