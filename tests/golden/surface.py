"""The frozen names that a release shows at its edges, as plain JSON values. For `make` and the tests."""

import json
import os
import re
import subprocess
import sys
from typing import Any

from tests.golden import names


def surface() -> dict[str, Any]:
    """Routes, error codes, settings, metrics and socket events of the code that is imported."""
    operations = (*names.ABOUT, *names.SOS, *names.API)
    return {
        "routes": sorted({f"{operation.method} {operation.path}" for operation in operations}),
        "codes": {code.value: names.HTTP_STATUS.get(code) for code in names.Code},
        "settings": {
            name: repr(field.get_default(call_default_factory=True))
            for name, field in sorted(names.Settings.model_fields.items())
        },
        "metrics": {
            family.name: {
                "type": family.type,
                "labels": sorted({label for sample in family.samples for label in sample.labels}),
            }
            for family in sorted(names.REGISTRY.collect(), key=lambda family: family.name)
            if family.name.startswith("wayguard_")
        },
        "events": sorted(names.EVENTS),
        "commands": list(names.COMMANDS),
    }


PRINTED = "import json; from tests.golden.surface import surface; print(json.dumps(surface()))"


def surface_of_a_process() -> dict[str, Any]:
    """As `surface`, of a new process."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json; from tests.golden.surface import surface; print(json.dumps(surface()))",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=_plain_environment(),
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def flags_of(command: str) -> list[str]:
    """The options that the help of a subcommand lists; it is run as a process."""
    done = subprocess.run(
        [sys.executable, "-c", "from tests.golden.names import main; main()", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=_plain_environment(),
    )
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout)))


def _plain_environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb", "PYTHONPATH": ":".join(sys.path)}
