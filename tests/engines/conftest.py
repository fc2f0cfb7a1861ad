"""Data directories that the engines' account can enter, empty or with a cluster made beforehand."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.engines.postgres import EmbeddedPostgres
from tests.engines.harness import remains
from tests.engines_fixtures import engine_folder


@pytest.fixture(scope="session")
def made_cluster() -> Iterator[Path]:
    """A data directory with a fresh cluster, to be copied: initdb takes longest of all there is to start."""
    with engine_folder() as folder:
        EmbeddedPostgres(folder).prepare()
        yield folder


@pytest.fixture
def empty() -> Iterator[Path]:
    """An empty folder; at the end nothing that was started for it may run."""
    with engine_folder() as folder:
        yield folder
        assert remains(folder) == []


@pytest.fixture
def data(empty: Path, made_cluster: Path) -> Path:
    """A data directory whose cluster has been made and never started."""
    subprocess.run(["cp", "-a", f"{made_cluster}/.", str(empty)], check=True)
    return empty
