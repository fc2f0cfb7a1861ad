"""The part of the table about alerts and safety timers."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from realtime.api import sharing
from realtime.api.alerts import alerts, timers
from realtime.api.framework.operation import AnyOperation, Operation
from realtime.protocol import Code

ALERTS: Final[Sequence[AnyOperation]] = (
    Operation(
        id="list_alerts",
        method="GET",
        path="/api/v1/alerts",
        summary="Alerts the caller may see, newest first.",
        handler=alerts.list_alerts,
    ),
    Operation(
        id="raise_alert",
        method="POST",
        path="/api/v1/alerts",
        summary="Raise an alert for a driver: a drill, or a call for help that somebody took.",
        handler=alerts.raise_alert,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="get_alert",
        method="GET",
        path="/api/v1/alerts/{alert_id}",
        summary="One alert; for overseers with the newest of its attempts and of its history.",
        handler=alerts.get_alert,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="list_attempts",
        method="GET",
        path="/api/v1/alerts/{alert_id}/attempts",
        summary="Attempts to reach somebody, from the newest back in time.",
        handler=alerts.list_attempts,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="list_history",
        method="GET",
        path="/api/v1/alerts/{alert_id}/history",
        summary="What happened to an alert, from the newest back in time.",
        handler=alerts.list_history,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="create_alert_share",
        method="POST",
        path="/api/v1/alerts/{alert_id}/shares",
        summary="Make a link to an alert for somebody without an account, who may look and not answer.",
        handler=sharing.create_alert_share,
        status=HTTPStatus.CREATED,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="list_alert_shares",
        method="GET",
        path="/api/v1/alerts/{alert_id}/shares",
        summary="The links to an alert, and who opened them.",
        handler=sharing.list_alert_shares,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="acknowledge_alert",
        method="POST",
        path="/api/v1/alerts/{alert_id}/acknowledge",
        summary="The caller is on it; again is a sign of life.",
        handler=alerts.acknowledge,
        errors=(
            Code.NOT_FOUND,
            Code.CONFLICT,
        ),
    ),
    Operation(
        id="resolve_alert",
        method="POST",
        path="/api/v1/alerts/{alert_id}/resolve",
        summary="It is over; everyone who was told is told so.",
        handler=alerts.resolve,
        errors=(
            Code.NOT_FOUND,
            Code.CONFLICT,
        ),
    ),
    Operation(
        id="false_alarm",
        method="POST",
        path="/api/v1/alerts/{alert_id}/false-alarm",
        summary="Nothing was wrong; everyone who was told is told so.",
        handler=alerts.false_alarm,
        errors=(
            Code.NOT_FOUND,
            Code.CONFLICT,
        ),
    ),
    Operation(
        id="note_alert",
        method="POST",
        path="/api/v1/alerts/{alert_id}/notes",
        summary="A note for the others.",
        handler=alerts.note,
        errors=(
            Code.NOT_FOUND,
            Code.CONFLICT,
        ),
    ),
    Operation(
        id="add_responder",
        method="POST",
        path="/api/v1/alerts/{alert_id}/responders",
        summary="Somebody is coming.",
        handler=alerts.respond,
        errors=(
            Code.NOT_FOUND,
            Code.CONFLICT,
        ),
    ),
    Operation(
        id="create_timer",
        method="POST",
        path="/api/v1/timers",
        summary="Arm a safety timer; the same client_timer_id again is the same timer.",
        handler=timers.create_timer,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="list_timers",
        method="GET",
        path="/api/v1/timers",
        summary="Safety timers the caller may see, newest first, by page.",
        handler=timers.list_timers,
    ),
    Operation(
        id="check_in",
        method="POST",
        path="/api/v1/timers/check-in",
        summary="The driver is well: timers that wait for that begin anew.",
        handler=timers.check_in,
        without_postgres=True,
    ),
    Operation(
        id="arrive",
        method="POST",
        path="/api/v1/timers/arrive",
        summary="The driver has arrived: their timers are done.",
        handler=timers.arrive,
        without_postgres=True,
    ),
    Operation(
        id="cancel_timer",
        method="DELETE",
        path="/api/v1/timers/{timer_id}",
        summary="End a safety timer.",
        handler=timers.cancel_timer,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="dismiss_silence",
        method="POST",
        path="/api/v1/safety/dismiss",
        summary="So many are silent for a known reason: what is held back begins anew.",
        handler=timers.dismiss,
    ),
)
