"""The HTTP API as one table: what is registered, what the OpenAPI document says, what the tests drive."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from realtime.api import about, sharing
from realtime.api.alerts import sos
from realtime.api.alerts.table import ALERTS
from realtime.api.framework import shapes
from realtime.api.framework.operation import AnyOperation, Operation
from realtime.api.journeys import geojson, gpx, ingest, journeys, points
from realtime.api.people import vendors
from realtime.api.people.table import PEOPLE
from realtime.api.sessions.table import SESSIONS
from realtime.protocol import Code, Positions

METRICS_TYPE: Final = "text/plain"

ABOUT: Final[Sequence[AnyOperation]] = (
    Operation(
        id="healthz",
        method="GET",
        path="/healthz",
        summary="Is the process alive?",
        handler=about.healthz,
        open_to_all=True,
    ),
    Operation(
        id="readyz",
        method="GET",
        path="/readyz",
        summary="Does it take traffic? 503 names what is away, or that it drains.",
        handler=about.readyz,
        open_to_all=True,
    ),
    Operation(
        id="metrics",
        method="GET",
        path="/metrics",
        summary="Metrics in Prometheus text format; docs/OPERATIONS.md explains them.",
        handler=about.metrics_text,
        media={METRICS_TYPE: None},
        open_to_all=True,
    ),
)
"""What every process answers, workers too."""

SOS: Final[Sequence[AnyOperation]] = (
    Operation(
        id="raise_sos",
        method="POST",
        path="/api/v1/sos",
        summary="A driver's cry for help. Never rate-limited; the same `sos_id` again is the same alert.",
        handler=sos.raise_sos,
        unread_body=shapes.SosRequest,
        as_it_comes=True,
    ),
)
"""What workers answer first, and instances when no worker lives."""

API: Final[Sequence[AnyOperation]] = (
    Operation(
        id="list_vendors",
        method="GET",
        path="/api/v1/vendors",
        summary="The vendors the caller oversees.",
        handler=vendors.list_vendors,
    ),
    Operation(
        id="vendor_positions",
        method="GET",
        path="/api/v1/vendors/{vendor}/positions",
        summary="Latest position and presence of each driver of a vendor, with its age.",
        handler=vendors.positions,
    ),
    Operation(
        id="list_journeys",
        method="GET",
        path="/api/v1/journeys",
        summary="Journeys the caller may see, newest first.",
        handler=journeys.list_journeys,
    ),
    Operation(
        id="get_journey",
        method="GET",
        path="/api/v1/journeys/{journey_id}",
        summary="One journey.",
        handler=journeys.get_journey,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="journey_points",
        method="GET",
        path="/api/v1/journeys/{journey_id}/points",
        summary="Points of a journey: a page as JSON, or all of them as GeoJSON or GPX 1.1, voids left out.",
        handler=points.get_points,
        answer=shapes.JourneyPoints,
        media={geojson.CONTENT_TYPE: geojson.FeatureCollection, gpx.CONTENT_TYPE: None},
        errors=(Code.NOT_FOUND,),
        streams=True,
    ),
    Operation(
        id="create_share",
        method="POST",
        path="/api/v1/journeys/{journey_id}/shares",
        summary="Make a link to a journey for somebody without an account.",
        handler=sharing.create_share,
        status=HTTPStatus.CREATED,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="list_shares",
        method="GET",
        path="/api/v1/journeys/{journey_id}/shares",
        summary="The links to a journey, and who opened them.",
        handler=sharing.list_shares,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="revoke_share",
        method="DELETE",
        path="/api/v1/shares/{share_id}",
        summary="Close a link, and whatever was opened through it.",
        handler=sharing.revoke_share,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="submit_positions",
        method="POST",
        path="/api/v1/positions",
        summary="A driver's points, for an app whose socket is down; the socket event's body and ack.",
        handler=ingest.submit_positions,
        unread_body=Positions,
        answer=shapes.PositionsAck,
        errors=(
            Code.NOT_FOUND,
            Code.CONFLICT,
            Code.EXPECTED_SEQ,
            Code.TOO_MANY_POINTS,
            Code.BAD_TIME,
            Code.TIME_IN_SECONDS,
            Code.JOURNEY_ENDED,
            Code.JOURNEY_EXPIRED,
            Code.OVERLOADED,
            Code.DRAINING,
        ),
    ),
    Operation(
        id="revoke_token",
        method="POST",
        path="/api/v1/revocations",
        summary="Declare a token void before it expires: by its jti, or by the token itself.",
        handler=ingest.revoke_token,
        errors=(Code.NOT_FOUND,),
    ),
    *ALERTS,
    *PEOPLE,
    *SESSIONS,
)
"""What a web instance answers beside `ABOUT`, `SOS` and the OpenAPI document itself."""
