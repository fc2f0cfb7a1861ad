"""Runs one instance whose points are stored nowhere: ``python -m loadtests.bench.servers.without_storage``.

The switch of the benchmarks that leave the database out. It is not a setting of the product: here the one
function that writes points is replaced, before the instance is made. Everything else is as it is served,
journeys and identities in Postgres too. The bench looks afterwards that no point was stored. With a file as
its argument the instance can be sampled, as `loadtests.bench.servers.profile_run` does.
"""

import sys
from collections.abc import Sequence
from typing import Any

from loadtests.bench.servers.profile_run import Sampler
from realtime.processes.run import run_web
from realtime.settings import Settings
from realtime.store.journeys import commit


async def forget(db: Any, batches: Sequence[Any], *args: Any, **options: Any) -> None:
    """In the place of `realtime.store.journeys.commit.store`."""


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings()
    if len(sys.argv) > 1:
        Sampler(f"{sys.argv[1]}.{settings.instance_name}").install()
    commit.store = forget
    run_web(settings)


if __name__ == "__main__":
    main()
