"""Journeys: one, or a list, as far as the caller may see them."""

from typing import Any
from uuid import UUID

from realtime.api.framework import cursor, shapes
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import (
    JourneyDetail,
    JourneyPage,
    JourneyPath,
    JourneysQuery,
    NoBody,
    NoPath,
    NoQuery,
)
from realtime.auth import authorize
from realtime.protocol import Code, Refused
from realtime.store.journeys import journeys

_CURSOR = "journey"


async def list_journeys(call: OperationCall[NoPath, JourneysQuery, NoBody]) -> JourneyPage:
    """Newest first. Without filters it is narrowed to what the caller may see."""
    query, principal = call.query, call.principal
    if not authorize.may_list_journeys(principal, query.vendor, query.driver):
        raise Refused(Code.FORBIDDEN, "these journeys are not yours to list")
    vendors = authorize.listable_vendors(principal) if query.vendor is None else frozenset({query.vendor})
    found = await journeys.list_(
        call.context.db,
        principal.tenant,
        vendors=vendors,
        driver=authorize.listable_driver(principal) or query.driver,
        from_ms=query.from_ms,
        to_ms=query.to_ms,
        before=_before(query.cursor),
        limit=query.limit + 1,
    )
    page = found[: query.limit]
    more = len(found) > len(page)
    return JourneyPage(
        journeys=[_listed(journey) for journey in page],
        next_cursor=cursor.pack(_CURSOR, page[-1].journey_id.hex) if more else None,
    )


def _before(given: str | None) -> UUID | None:
    if given is None:
        return None
    try:
        return UUID(hex=cursor.unpack(_CURSOR, given))
    except ValueError as error:
        raise Refused(Code.INVALID, "cursor is not valid") from error


async def get_journey(call: OperationCall[JourneyPath, NoQuery, NoBody]) -> shapes.OneJourney:
    """One journey, with what the app said about it."""
    journey = await visible(call)
    return shapes.OneJourney(
        journey=JourneyDetail(**_fields(journey), destination=journey.destination, route=journey.route)
    )


async def visible(call: OperationCall[JourneyPath, Any, Any]) -> journeys.JourneyRecord:
    """The journey of the path.

    Raises the very same Refused(not_found) for one that is missing, another tenant's, or not the caller's.
    """
    journey = await journeys.get(call.context.db, call.principal.tenant, call.path.journey_id)
    if journey is None or not authorize.may_see_journey(
        call.principal, journey.tenant, journey.vendor, journey.driver
    ):
        raise Refused(Code.NOT_FOUND, "no such journey")
    return journey


def _listed(journey: journeys.JourneyRecord) -> shapes.Journey:
    return shapes.Journey(**_fields(journey))


def _fields(journey: journeys.JourneyRecord) -> dict[str, Any]:
    state = "expired" if journey.expired else "open" if journey.ended_ms is None else "ended"
    return {
        "journey_id": journey.journey_id,
        "client_journey_id": journey.client_journey_id,
        "vendor": journey.vendor,
        "driver": journey.driver,
        "state": state,
        "started_at": journey.started_ms,
        "created_at": journey.created_ms,
        "ended_at": journey.ended_ms,
        "last_seq": journey.last_seq,
        "final_seq": journey.final_seq,
        "vehicle": journey.vehicle,
    }
