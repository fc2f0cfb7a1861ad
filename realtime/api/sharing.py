"""Links to a journey or an alert: made, listed with who opened them, revoked."""

from typing import Any, Final

from alerts.alert import Alert
from realtime.alerting.actions import AlertActions, actor_of
from realtime.api.alerts.shapes import AlertPath
from realtime.api.framework import cursor, shapes
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import (
    Done,
    JourneyPath,
    NewShare,
    NoBody,
    NoQuery,
    SharePath,
    ShareRequest,
    Shares,
    SharesQuery,
    ShareView,
)
from realtime.api.journeys.journeys import visible
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.contacts import validation
from realtime.protocol import Code, Refused
from realtime.store.journeys import journeys, shares

_CURSOR = "share"
NOT_STORED_S: Final = 2.0


async def create_share(call: OperationCall[JourneyPath, NoQuery, ShareRequest]) -> NewShare:
    """The link, its secret in the fragment: shown here, stored hashed, never shown again."""
    journey = await _shareable(call)
    db, scope, expires_ms = call.context.db, call.body.scope, _expires_ms(call)
    made = await shares.create(
        db,
        journey.tenant,
        journey.journey_id,
        scope,
        expires_ms,
        call.principal.sub,
        _holder(call.body),
        new_only=call.principal.role == authorize.DRIVER,
        follows=call.body.follows,
        key=shares.signing_key(call.context.settings.alerts_key),
    )
    return _new(call, *made, expires_ms)


async def create_alert_share(call: OperationCall[AlertPath, NoQuery, ShareRequest]) -> NewShare:
    """The same for an alert; its history says who made it."""
    alert = await _shareable_alert(call)
    if call.body.follows:
        raise Refused(Code.INVALID, "a link to an alert cannot follow a driver")
    by = actor_of(call.principal)
    db, scope, expires_ms = call.context.db, call.body.scope, _expires_ms(call)
    try:
        made = await shares.create_to_alert(
            db,
            alert.tenant,
            alert.alert_id,
            scope,
            expires_ms,
            by,
            _holder(call.body),
            key=shares.signing_key(call.context.settings.alerts_key),
        )
    except Refused as refused:
        if refused.code is not Code.NOT_FOUND:
            raise
        # It was seen a moment ago: a journal has it, and its import is under way.
        raise Refused(
            Code.UNAVAILABLE, "the alert is not stored yet", retry_after_s=NOT_STORED_S
        ) from refused
    return _new(call, *made, expires_ms)


async def list_shares(call: OperationCall[JourneyPath, SharesQuery, NoBody]) -> Shares:
    """Newest first, revoked and expired ones too."""
    journey = await _shareable(call)
    page = (_after(call.query.cursor), call.query.limit + 1)
    return _page(
        call, await shares.list_of_journey(call.context.db, journey.tenant, journey.journey_id, *page)
    )


async def list_alert_shares(call: OperationCall[AlertPath, SharesQuery, NoBody]) -> Shares:
    """Newest first, revoked and expired ones too."""
    alert = await _shareable_alert(call)
    page = (_after(call.query.cursor), call.query.limit + 1)
    return _page(call, await shares.list_of_alert(call.context.db, alert.tenant, alert.alert_id, *page))


async def revoke_share(call: OperationCall[SharePath, NoQuery, NoBody]) -> Done:
    """Sockets it let in close within 5 s. Revoking again changes nothing and is fine."""
    db, tenant = call.context.db, call.principal.tenant
    share = await shares.get(db, tenant, call.path.share_id)
    if share is None or not await _may_revoke(call, share):
        raise Refused(Code.NOT_FOUND, "no such share")
    await shares.revoke(db, tenant, share.share_id, actor_of(call.principal))
    return Done()


async def _may_revoke(call: OperationCall[SharePath, NoQuery, NoBody], share: shares.ShareRecord) -> bool:
    principal, context = call.principal, call.context
    if share.alert_id is not None:
        alert = await context.alerts.get(principal.tenant, share.alert_id)
        return alert is not None and authorize.may_share_alert(principal, alert.tenant, alert.vendor)
    if share.driver is not None and share.vendor is not None:
        return authorize.may_share(principal, principal.tenant, share.vendor, share.driver)
    assert share.journey_id is not None
    journey = await journeys.head(context.db, principal.tenant, share.journey_id)
    if journey is None:
        return False
    return authorize.may_share(principal, journey.tenant, journey.vendor, journey.driver)


async def _shareable_alert(call: OperationCall[AlertPath, Any, Any]) -> Alert:
    principal = call.principal
    alert = await AlertActions(call.context.alerts, call.context.now_ms).visible(
        principal, call.path.alert_id
    )
    if not authorize.may_share_alert(principal, alert.tenant, alert.vendor):
        raise Refused(Code.FORBIDDEN, "links to alerts are not yours to make")
    return alert


async def _shareable(call: OperationCall[JourneyPath, Any, Any]) -> journeys.JourneyRecord:
    journey = await visible(call)
    if not authorize.may_share(call.principal, journey.tenant, journey.vendor, journey.driver):
        raise Refused(Code.FORBIDDEN, "this journey is not yours to share")
    return journey


def _holder(body: ShareRequest) -> str:
    """Who is given a link that answers; nobody, of one that only looks. Raises Refused(invalid)."""
    if body.may_answer:
        return validation.name_of(body.name)
    if body.name:
        raise Refused(Code.INVALID, "name is given to a link that may answer")
    return ""


def _expires_ms(call: OperationCall[Any, Any, ShareRequest]) -> int:
    return call.context.now_ms() + call.body.expires_in_s * 1_000


def _new(
    call: OperationCall[Any, Any, ShareRequest], share_id: str, secret: str, expires_ms: int
) -> NewShare:
    url = f"{call.context.settings.public_url.rstrip('/')}/s/{share_id}#{secret}"
    return NewShare(id=share_id, url=url, expires_at=expires_ms)


def _page(call: OperationCall[Any, SharesQuery, NoBody], found: list[shares.ShareRecord]) -> Shares:
    page = found[: call.query.limit]
    last = page[-1] if len(found) > len(page) else None
    return Shares(
        shares=[_listed(share, call.principal) for share in page],
        next_cursor=None if last is None else cursor.pack(_CURSOR, f"{last.created_ms}.{last.share_id}"),
    )


def _after(given: str | None) -> shares.ShareCursor | None:
    if given is None:
        return None
    created_ms, _, share_id = cursor.unpack(_CURSOR, given).partition(".")
    if "\0" in share_id:
        raise Refused(Code.INVALID, "cursor is not valid")
    return shares.ShareCursor(cursor.number(created_ms), share_id)


def _listed(share: shares.ShareRecord, principal: Principal) -> shapes.Share:
    # What an open alert does to a link is not shown on a driver's phone: it may be open under duress.
    lasts_ms = share.lasts_ms if principal.role in authorize.OVERSEERS else share.expires_ms
    return shapes.Share(
        id=share.share_id,
        scope=share.scope,
        created_at=share.created_ms,
        created_by=share.created_by,
        expires_at=share.expires_ms,
        lasts_until=lasts_ms,
        revoked_at=share.revoked_ms,
        may_answer=share.holder != "",
        name=share.holder,
        views=[
            ShareView(view.address, view.user_agent, view.first_ms, view.at_ms, view.times)
            for view in share.views
        ],
        follows=share.driver is not None,
    )
