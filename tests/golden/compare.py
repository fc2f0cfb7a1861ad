"""How a golden value is compared with today's: nothing may be missing, an object may have more fields."""

from typing import Any


def differences(golden: Any, now: Any, path: str = "") -> list[str]:
    """Where ``now`` is not what ``golden`` says; fields that only ``now`` has are none."""
    if isinstance(golden, dict) and isinstance(now, dict):
        missing = [f"{path}.{key} is missing" for key in golden.keys() - now.keys()]
        common = sorted(golden.keys() & now.keys())
        return missing + [
            line for key in common for line in differences(golden[key], now[key], f"{path}.{key}")
        ]
    if isinstance(golden, list) and isinstance(now, list) and len(golden) == len(now):
        pairs = enumerate(zip(golden, now, strict=True))
        return [line for n, (one, other) in pairs for line in differences(one, other, f"{path}[{n}]")]
    return (
        []
        if golden == now and type(golden) is type(now)
        else [f"{path}: {golden!r:.200} is now {now!r:.200}"]
    )
