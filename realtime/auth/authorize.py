"""Who may do what: every authorisation rule, as plain functions of a principal and what is asked for.

A caller that gets False for an object it looked up answers exactly as if the object did not exist; the rules
never say why. The ``vendors`` claim binds every role that has one, admins too: None means all of the tenant's
vendors, an empty set none. Nothing here ever crosses a tenant.

| role       | sees                                  | does                                        |
|------------|---------------------------------------|---------------------------------------------|
| driver     | itself and its own journeys           | writes its own log, shares its own journeys |
| dispatcher | drivers and journeys of its vendors   | shares them                                 |
| admin      | as a dispatcher                       | shares them, revokes tokens, erases drivers |
| service    | as a dispatcher                       | the same                                    |
| share      | the one journey or alert it was given | nothing; no HTTP API at all                 |
| (answering)| the same, alerts as a contact does    | answers that alert, or those of the journey |
| (contact)  | the alert of its answer link          | answers that alert                          |

A link to an alert is made, listed and revoked by overseers, never by the driver: see `may_share_alert`.

Contacts and policies: a driver has contacts of its own and reads who would be told; an overseer has those of
its vendors and their drivers (a dispatcher sees the addresses of drivers' contacts masked); admin and
service of all vendors have the tenant's too.

Names and numbers: an overseer looks up the names of its vendors' drivers, and sees and sets a driver's own
name and number, which is not masked: a dispatcher has to be able to call the driver. Changes are audited.

Sessions and phones: an overseer exchanges its token for a session and ends its own; admin and service see and
end those of their vendors, and with all vendors the tenant's. An overseer pairs a phone with a driver of its
vendors: whoever holds that phone then is that driver.

Tokens: a ``jti`` does not say whose token it is, so only admin and service of all vendors revoke by it. Those
of some vendors revoke a token that they show, when all vendors it is for are theirs, and the pairings and
sessions of their vendors. Those of no vendor revoke nothing.

Alerts: a driver raises, cancels and sees its own; overseers see and answer those of their vendors, and raise
them for a driver, too. A contact's answer link is a share with a ``contact_id``, and so is a
share that was made to answer.
"""

from typing import Final
from uuid import UUID

from realtime.auth.tokens import Principal

DRIVER: Final = "driver"
DISPATCHER: Final = "dispatcher"
ADMIN: Final = "admin"
SERVICE: Final = "service"
SHARE: Final = "share"

OVERSEERS: Final = frozenset({DISPATCHER, ADMIN, SERVICE})
"""Roles that look after other people's journeys, within their ``vendors`` claim."""

_TENANT_WIDE: Final = frozenset({ADMIN, SERVICE})
"""Roles that do what concerns a whole tenant."""


def may_use_api(principal: Principal) -> bool:
    """Whether the HTTP API is for this principal at all: shares watch, and nothing else."""
    return principal.role != SHARE


def may_watch_vendor(principal: Principal, vendor: str) -> bool:
    """Whether the positions and presence of all drivers of ``vendor`` may be seen."""
    if principal.role not in OVERSEERS:
        return False
    return principal.vendors is None or vendor in principal.vendors


def may_watch_driver(principal: Principal, vendor: str, driver: str) -> bool:
    """Whether the live position of ``driver``, who belongs to ``vendor``, may be seen."""
    return _is_driver(principal, driver) or may_watch_vendor(principal, vendor)


def may_see_journey(
    principal: Principal, tenant: str, vendor: str, driver: str, journey_id: UUID | None = None
) -> bool:
    """Whether a journey of (``tenant``, ``vendor``, ``driver``) may be seen, its points included.

    A share sees exactly the journey it was made for, so it needs ``journey_id``. Whether a link to an alert
    sees the alert's journey, `may_see_journey_of_alert` says.
    """
    if tenant != principal.tenant:
        return False
    if principal.role == SHARE:
        grant = principal.share
        if grant is None or grant.alert_id is not None or journey_id is None:
            return False
        return grant.journey_id == str(journey_id)
    return may_watch_driver(principal, vendor, driver)


def may_see_journey_of_alert(principal: Principal, tenant: str, alert_id: UUID, is_open: bool) -> bool:
    """Whether a link to the alert shows the alert's journey: while it is open, a contact who was asked to
    help afterwards too.
    """
    grant = principal.share
    if grant is None or tenant != principal.tenant or grant.alert_id != str(alert_id):
        return False
    return is_open or not leaves_at_the_end(principal)


def leaves_at_the_end(principal: Principal) -> bool:
    """Whether the journey of an alert is shown until the alert is over: to a link that cannot answer."""
    grant = principal.share
    return grant is not None and grant.alert_id is not None and grant.contact_id is None


def may_see_past(principal: Principal) -> bool:
    """Whether more than the newest point of a journey may be seen: not through a share that is live only."""
    grant = principal.share
    return grant is None or (grant.scope == "journey" and grant.alert_id is None)


def may_list_journeys(principal: Principal, vendor: str | None, driver: str | None) -> bool:
    """Whether journeys may be listed with these filters (None = unfiltered).

    An unfiltered list is narrowed to `listable_vendors` and `listable_driver`, never refused for being wide.
    """
    if principal.role == DRIVER:
        return principal.driver is not None and driver in (None, principal.driver)
    if principal.role not in OVERSEERS:
        return False
    return vendor is None or may_watch_vendor(principal, vendor)


def listable_vendors(principal: Principal) -> frozenset[str] | None:
    """The vendors whose journeys a list may hold; None = any. For a driver `listable_driver` narrows it."""
    if principal.role in OVERSEERS:
        return principal.vendors
    return None if principal.role == DRIVER else frozenset()


def listable_driver(principal: Principal) -> str | None:
    """The one driver whose journeys a list may hold, or None when the role is not bound to one."""
    return principal.driver if principal.role == DRIVER else None


def may_write(principal: Principal, tenant: str, driver: str) -> bool:
    """Whether the log of a journey of (``tenant``, ``driver``) may be written: only by that very driver."""
    return tenant == principal.tenant and _is_driver(principal, driver)


def may_share(principal: Principal, tenant: str, vendor: str, driver: str) -> bool:
    """Whether a link to the journey may be made, listed or revoked: whoever sees it, shares excepted."""
    return principal.role != SHARE and may_see_journey(principal, tenant, vendor, driver)


def may_share_alert(principal: Principal, tenant: str, vendor: str) -> bool:
    """Whether links to the alert may be made, listed or revoked: by overseers. Not by its driver: whoever
    holds the phone after a duress PIN would see by them that the alert goes on.
    """
    return tenant == principal.tenant and may_watch_vendor(principal, vendor)


def may_manage_people(principal: Principal, vendor: str | None, driver: str | None) -> bool:
    """Whether contacts of this scope may be seen and changed, and who would be told be asked.

    ``driver`` set: that driver's, who drives for ``vendor`` now; else the vendor's; both None: the tenant's.
    """
    if driver is not None:
        return vendor is not None and may_watch_driver(principal, vendor, driver)
    if vendor is not None:
        return may_watch_vendor(principal, vendor)
    return principal.role in _TENANT_WIDE and principal.vendors is None


def may_set_policy(principal: Principal, vendor: str | None, driver: str | None) -> bool:
    """Whether a policy of this scope may be set: not by drivers, who could cut off whoever looks after
    them.
    """
    return principal.role in OVERSEERS and may_manage_people(principal, vendor, driver)


def sees_addresses(principal: Principal, driver: str | None) -> bool:
    """Whether a contact's addresses are shown whole; ``driver``: whose contact it is, None = nobody's alone.

    A driver's contacts are that driver's family and friends: who dispatches need not be able to ring them.
    """
    return driver is None or _is_driver(principal, driver) or principal.role in _TENANT_WIDE


def may_look_up_names(principal: Principal) -> bool:
    """Whether names of drivers may be looked up by their ids: by overseers, of their own vendors."""
    return principal.role in OVERSEERS


def may_set_profile(principal: Principal, vendor: str, driver: str) -> bool:
    """Whether the driver's own name and number may be seen whole and set: by the driver, and by overseers of
    the vendor, who have to be able to call the driver. Contacts' addresses stay masked (`sees_addresses`).
    """
    return may_watch_driver(principal, vendor, driver)


def may_see_changes(principal: Principal, vendor: str) -> bool:
    """Whether it may be seen who changed a driver's name and number: by overseers of the vendor."""
    return may_watch_vendor(principal, vendor)


def may_set_pins(principal: Principal, driver: str) -> bool:
    """Whether PINs may be chosen: whoever else did could cancel the driver's SOS."""
    return _is_driver(principal, driver)


def may_clear_pins(principal: Principal, vendor: str, driver: str) -> bool:
    """Whether PINs may be taken away, for a driver who has forgotten them."""
    return principal.role in _TENANT_WIDE and may_watch_driver(principal, vendor, driver)


def may_erase(principal: Principal, vendor: str | None) -> bool:
    """Whether a driver of ``vendor`` (None: one that is not known any more) may be erased."""
    if principal.role not in _TENANT_WIDE:
        return False
    return principal.vendors is None or (vendor is not None and vendor in principal.vendors)


def may_see_alert(
    principal: Principal, tenant: str, vendor: str, driver: str, alert_id: UUID, journey_id: UUID | None
) -> bool:
    """Whether an alert of (``tenant``, ``vendor``, ``driver``) may be seen.

    A link to the alert sees it whole; a link to its journey sees that there is one, and whole if it may
    answer.
    """
    if tenant != principal.tenant:
        return False
    if principal.role != SHARE:
        return may_watch_driver(principal, vendor, driver)
    grant = principal.share
    if grant is None:
        return False
    if grant.alert_id is not None:
        return grant.alert_id == str(alert_id)
    if grant.vendor is not None:
        return (grant.vendor, grant.driver) == (vendor, driver)
    # The phone names the journey of an alert, so it is compared whose that is.
    own = grant.driver in (None, driver)
    return own and journey_id is not None and grant.journey_id == str(journey_id)


def may_answer_alert(
    principal: Principal,
    tenant: str,
    vendor: str,
    driver: str,
    alert_id: UUID,
    journey_id: UUID | None,
    raised_ms: int,
) -> bool:
    """Whether an alert may be acknowledged, resolved, noted: by overseers, and by who holds a link to do so.

    A link to a journey that its driver made answers what was raised since: whoever has taken the phone would
    end the alert by it otherwise.
    """
    grant = principal.share
    if grant is not None:
        answers = may_answer(principal) and raised_ms >= grant.answers_from_ms
        return answers and may_see_alert(principal, tenant, vendor, driver, alert_id, journey_id)
    return tenant == principal.tenant and may_watch_vendor(principal, vendor)


def may_answer(principal: Principal) -> bool:
    """Whether the holder of a link may answer what it opens, and is told what such a one needs: who was told,
    the number to call. A share that looks is told neither.
    """
    grant = principal.share
    return grant is not None and grant.contact_id is not None


def sees_as_phone(principal: Principal) -> bool:
    """Whether alerts are shown as on the driver's own phone: to the driver, and through a link to a journey
    that the driver's app made.

    Whoever has taken the phone can make such a link, or open one that was sent from it: after a duress PIN it
    must not show that the alert is open. Contacts are notified with links of their own.
    """
    grant = principal.share
    if grant is None:
        return principal.role == DRIVER
    return grant.alert_id is None and grant.answers_from_ms > 0


def may_raise_for(principal: Principal, vendor: str) -> bool:
    """Whether an alert may be raised for a driver of ``vendor`` by an overseer: drills, and calls taken."""
    return may_watch_vendor(principal, vendor)


def may_set_timer(principal: Principal, vendor: str, driver: str) -> bool:
    """Whether a safety timer of the driver may be set, looked at and cancelled."""
    return may_watch_driver(principal, vendor, driver)


def may_open_session(principal: Principal) -> bool:
    """Whether the principal's token may be exchanged for a session of a browser. A session is not for one
    that would outlive it.
    """
    return principal.role in OVERSEERS and principal.session is None


def may_have_sessions(principal: Principal) -> bool:
    """Whether sessions are anything of this principal's: only overseers have any."""
    return principal.role in OVERSEERS


def sees_sessions_of_vendors(principal: Principal) -> bool:
    """Whether sessions of others may be seen and ended, those whose vendors are all among the principal's."""
    return principal.role in _TENANT_WIDE and principal.vendors != frozenset()


def may_end_session(principal: Principal, tenant: str, sub: str, vendors: frozenset[str] | None) -> bool:
    """Whether a session of (``tenant``, ``sub``), which is for ``vendors``, may be seen and ended."""
    if tenant != principal.tenant or not may_have_sessions(principal):
        return False
    return sub == principal.sub or (principal.role in _TENANT_WIDE and _oversees_all(principal, vendors))


def may_pair(principal: Principal, vendor: str) -> bool:
    """Whether a phone may be given a token of a driver of ``vendor``."""
    return may_watch_vendor(principal, vendor)


def may_revoke_tokens(principal: Principal) -> bool:
    """Whether any token may be declared void before it expires; which, the two rules below say."""
    return principal.role in _TENANT_WIDE


def may_revoke_by_jti(principal: Principal) -> bool:
    """Whether a token may be revoked by its ``jti`` alone, which does not say whose it is."""
    return may_revoke_tokens(principal) and principal.vendors is None


def may_revoke_token_of(principal: Principal, holder: Principal) -> bool:
    """Whether the token of ``holder`` may be revoked, who was read from the token itself."""
    return (
        holder.tenant == principal.tenant
        and may_revoke_tokens(principal)
        and _oversees_all(principal, holder.vendors)
    )


def may_revoke_pairing(principal: Principal, vendor: str) -> bool:
    """Whether the pairing of a phone with a driver of ``vendor`` may be revoked."""
    return may_revoke_tokens(principal) and may_watch_vendor(principal, vendor)


def _oversees_all(principal: Principal, vendors: frozenset[str] | None) -> bool:
    """Whether ``principal`` oversees everything that a credential for ``vendors`` opens. One for no vendor is
    overseen by who oversees all.
    """
    if principal.vendors is None:
        return True
    return bool(vendors) and vendors is not None and vendors <= principal.vendors


def _is_driver(principal: Principal, driver: str) -> bool:
    return principal.role == DRIVER and principal.driver is not None and principal.driver == driver
