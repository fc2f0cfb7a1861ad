"""Who would be told, by what and when, if a driver raised an alert now: a policy put into words. Pure."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from alerts.addresses.destination import WrittenAddresses, named
from alerts.attempt import Channel
from alerts.escalation import contacts_of
from alerts.policy import Contact, PolicyCopy, Step, address_of
from realtime.store.people import contacts as kept


class NotifiedContact(Struct, frozen=True):
    """A contact of a step, with the channels by which it can be told, once to each address."""

    contact: Contact
    """Its name is that of everybody at the address."""
    channels: tuple[Channel, ...]
    fallback: tuple[Channel, ...]


class PreviewedStep(Struct, frozen=True):
    """A step, ``after_s`` into a round."""

    after_s: int
    wait_s: int
    told: tuple[NotifiedContact, ...]


class OmittedContact(Struct, frozen=True):
    """A contact that is not told by anything, and why."""

    contact_id: str
    name: str
    reasons: tuple[str, ...]


def planned(copy: PolicyCopy) -> list[PreviewedStep]:
    """The steps of one round."""
    plan, after_s = list[PreviewedStep](), 0
    for step in copy.policy.steps:
        written = WrittenAddresses(copy)
        told = [_told(contact, step, copy, written) for contact in _meant(step, copy)]
        plan.append(
            PreviewedStep(after_s, step.wait_s, tuple(one for one in told if one.channels or one.fallback))
        )
        after_s += step.wait_s
    return plan


def untold(copy: PolicyCopy, known: Sequence[kept.ContactRecord]) -> list[OmittedContact]:
    """Those of ``known`` whom nothing reaches; not those whose address has a message for another contact."""
    usable = {contact.contact_id for contact in copy.contacts}
    told = {contact.contact_id for step in copy.policy.steps for contact in _reached(step, copy)}
    meant = {one.contact_id for step in copy.policy.steps for one in _meant(step, copy)}
    found = []
    for contact in known:
        contact_id = str(contact.contact_id)
        if contact_id in told:
            continue
        if contact_id not in usable:
            reasons = _why_unusable(contact)
        else:
            reasons = ("no_channel",) if contact_id in meant else ("not_in_policy",)
        found.append(OmittedContact(contact_id, contact.draft.name, reasons))
    return found


def reaches_somebody(plan: Sequence[PreviewedStep]) -> bool:
    """Whether a person would be told by more than the live pages."""
    return any(
        channel is not Channel.SOCKET
        for step in plan
        for one in step.told
        for channel in one.channels + one.fallback
    )


def _meant(step: Step, copy: PolicyCopy) -> list[Contact]:
    return [contact for _, contact in contacts_of(step, copy) if contact is not None]


def _reached(step: Step, copy: PolicyCopy) -> list[Contact]:
    """Those whom ``step`` means and who have an address for it."""
    return [c for c in _meant(step, copy) if any(address_of(c, by) for by in step.channels + step.fallback)]


def _told(contact: Contact, step: Step, copy: PolicyCopy, written: WrittenAddresses) -> NotifiedContact:
    def by(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
        mine = tuple(
            c for c in channels if address_of(contact, c) and not written.covers(contact.contact_id, c)
        )
        for channel in mine:
            written.add(contact.contact_id, channel)
        return mine

    channels, fallback = by(step.channels), by(step.fallback)
    names = [named(copy, contact.contact_id, channel) for channel in channels + fallback]
    return NotifiedContact(
        replace(contact, name=max(names, key=len, default=contact.name)), channels, fallback
    )


def _why_unusable(contact: kept.ContactRecord) -> tuple[str, ...]:
    draft, reasons = contact.draft, list[str]()
    addresses = (
        (draft.phone, contact.phone_verified_ms, contact.phone_opted_out_ms),
        (draft.email, contact.email_verified_ms, contact.email_opted_out_ms),
    )
    for address, verified_ms, opted_out_ms in addresses:
        if address is not None:
            if verified_ms is None:
                reasons.append("not_verified")
            if opted_out_ms is not None:
                reasons.append("opted_out")
    if draft.subject is not None:
        reasons.append("no_device")
    return tuple(dict.fromkeys(reasons)) or ("no_address",)
