"""Who may take an alert, and who may end it. Pure."""

from alerts.arrows import Refusal
from alerts.values import Actor, ActorKind, Alert


def may_not_close(alert: Alert, actor: Actor) -> Refusal | None:
    """Why ``actor`` cannot end it; None when they can."""
    if actor.kind is ActorKind.DRIVER:
        return Refusal.OWN_ALERT
    if actor.kind is ActorKind.SYSTEM:
        return Refusal.NOT_A_PERSON
    if actor.kind is ActorKind.CONTACT and not is_responding(alert, actor):
        return Refusal.ACKNOWLEDGE_FIRST
    return None


def who(actor: Actor) -> tuple[ActorKind, str]:
    """What makes an actor the same one: not the name."""
    return actor.kind, actor.id


def is_responding(alert: Alert, actor: Actor) -> bool:
    """Whether ``actor`` has acknowledged it, or is coming."""
    known = [r.actor for r in alert.responders]
    if alert.acknowledged_by is not None:
        known.append(alert.acknowledged_by)
    return any(who(one) == who(actor) for one in known)


def unfit(alert: Alert, actor: Actor) -> Refusal | None:
    """Why ``actor`` cannot be on it; None when they can."""
    if actor.kind is ActorKind.SYSTEM:
        return Refusal.NOT_A_PERSON
    if actor.kind is ActorKind.DRIVER and actor.id == alert.driver:
        return Refusal.OWN_ALERT
    return None
