"""What both namespaces share: the table of events, payloads, counted answers, slow requests as tasks."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Raw

from realtime.fanout.engineio import frames
from realtime.fanout.socketio.server import Reply
from realtime.metrics import instruments
from realtime.protocol import NOTHING, Answer, Code, Refused, unwrapped
from realtime.sockets.connection import Connection

log = logging.getLogger(__name__)

T = TypeVar("T")


class Handler(Protocol):
    """One event of one namespace. Must not block; answers now or later."""

    def __call__(self, connection: Connection, payload: Raw, answer: Answer) -> None: ...


class NamespaceEvents:
    """The events of one namespace by name."""

    def __init__(self, table: dict[str, Handler]) -> None:
        self._table = table
        self._fine = {label: instruments.ACKS.labels(label, "ok") for label in instruments.EVENTS}

    def dispatch(self, connection: Connection, name: str, args: list[Raw], reply: Reply) -> None:
        """Hand one event to its handler; every refusal and fault is answered."""
        label = name if name in self._fine else "other"

        def answer(ack: dict[str, Any] | bytes) -> None:
            if isinstance(ack, bytes) or ack["ok"]:
                self._fine[label].inc()
            else:
                instruments.ACKS.labels(label, ack["error"]["code"]).inc()
            reply(ack if isinstance(ack, bytes) else frames.json_bytes(ack))

        handler = self._table.get(name)
        if handler is None:
            answer(Refused(Code.UNKNOWN_EVENT, "event is not known").as_answer())
            return
        try:
            handler(connection, args[0] if args else NOTHING, answer)
        except Refused as refusal:
            answer(refusal.as_answer())
        except Exception:
            log.exception("handling %s failed", label)
            answer(internal().as_answer())


def decoded(payload: Raw, shape: type[T]) -> T:
    """``payload`` as ``shape``, also where it is wrapped as `realtime.protocol.unwrapped` knows it. Raises
    Refused(invalid), naming the field and not its value.
    """
    try:
        return msgspec.json.decode(payload, type=shape)
    except msgspec.ValidationError as error:
        inner = unwrapped(payload, shape.__struct_fields__)  # type: ignore[attr-defined]
        if inner is not None:
            with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
                return msgspec.json.decode(inner, type=shape)
        raise Refused(Code.INVALID, str(error)[:200].lower()) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Refused(Code.MALFORMED, "payload is not valid json") from error


def internal() -> Refused:
    """What a client is told when we are at fault."""
    return Refused(Code.INTERNAL, "request failed", retry_after_s=2)


_TASKS: Final[set[asyncio.Task[None]]] = set()


def later(connection: Connection, answer: Answer, work: Awaitable[dict[str, Any] | bytes]) -> None:
    """Answer with what ``work`` returns or raises. Raises Refused(overloaded) when too much is pending."""
    try:
        connection.begin()
    except Refused:
        if asyncio.iscoroutine(work):
            work.close()
        raise

    async def run() -> None:
        try:
            answer(await work)
        except Refused as refusal:
            answer(refusal.as_answer())
        except Exception:
            log.exception("request failed")
            answer(internal().as_answer())
        finally:
            connection.pending -= 1

    task = asyncio.ensure_future(run())
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
