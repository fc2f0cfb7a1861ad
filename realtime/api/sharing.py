"""Links to a journey: made, listed with who opened them, revoked."""

from typing import Any

from realtime import access
from realtime.api import cursor, shapes
from realtime.api.journeys import visible
from realtime.api.operation import Call
from realtime.api.shapes import (
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
from realtime.protocol import Code, Refused
from realtime.store import journeys, shares

_CURSOR = "share"


async def create_share(call: Call[JourneyPath, NoQuery, ShareRequest]) -> NewShare:
    """The link, its secret in the fragment: shown here, stored hashed, never shown again."""
    journey = await _shareable(call)
    context = call.context
    expires_ms = context.now_ms() + call.body.expires_in_s * 1_000
    share_id, secret = await shares.create(
        context.db, journey.tenant, journey.journey_id, call.body.scope, expires_ms, call.principal.sub
    )
    url = f"{context.settings.public_url.rstrip('/')}/s/{share_id}#{secret}"
    return NewShare(id=share_id, url=url, expires_at=expires_ms)


async def list_shares(call: Call[JourneyPath, SharesQuery, NoBody]) -> Shares:
    """Newest first, revoked and expired ones too."""
    journey = await _shareable(call)
    found = await shares.list_of_journey(call.context.db, journey.tenant, journey.journey_id)
    if call.query.cursor is not None:
        after = cursor.unpack(_CURSOR, call.query.cursor)
        ids = [share.share_id for share in found]
        if after not in ids:
            raise Refused(Code.INVALID, "cursor is not valid")
        found = found[ids.index(after) + 1 :]
    page = found[: call.query.limit]
    return Shares(
        shares=[_listed(share) for share in page],
        next_cursor=cursor.pack(_CURSOR, page[-1].share_id) if len(found) > len(page) else None,
    )


async def revoke_share(call: Call[SharePath, NoQuery, NoBody]) -> Done:
    """Sockets it let in close within 5 s. Revoking again changes nothing and is fine."""
    db, tenant = call.context.db, call.principal.tenant
    share = await shares.get(db, tenant, call.path.share_id)
    journey = None if share is None else await journeys.head(db, tenant, share.journey_id)
    if journey is None or not access.may_share(
        call.principal, journey.tenant, journey.vendor, journey.driver
    ):
        raise Refused(Code.NOT_FOUND, "no such share")
    await shares.revoke(db, tenant, call.path.share_id)
    return Done()


async def _shareable(call: Call[JourneyPath, Any, Any]) -> journeys.Journey:
    journey = await visible(call)
    if not access.may_share(call.principal, journey.tenant, journey.vendor, journey.driver):
        raise Refused(Code.FORBIDDEN, "this journey is not yours to share")
    return journey


def _listed(share: shares.ShareRecord) -> shapes.Share:
    return shapes.Share(
        id=share.share_id,
        scope=share.scope,
        created_at=share.created_ms,
        created_by=share.created_by,
        expires_at=share.expires_ms,
        revoked_at=share.revoked_ms,
        views=[
            ShareView(view.address, view.user_agent, view.first_ms, view.at_ms, view.times)
            for view in share.views
        ],
    )
