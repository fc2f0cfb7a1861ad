"""Settings as they are on a machine where `wayguard up` runs: what it decides itself is filled in."""

from pydantic import SecretStr

from realtime.engines.layout import DataDir
from realtime.engines.postgres import EmbeddedPostgres
from realtime.engines.redis import EmbeddedRedis
from realtime.settings import Settings


def completed(settings: Settings) -> Settings:
    """``settings`` with the auth secret and the addresses of the embedded engines where none are given.

    The secret is made when there is none yet, so that a token minted before the first start fits.
    Raises OSError or EngineError when the data directory is not ours to use.
    """
    found: dict[str, SecretStr] = {}
    if not settings.auth_secret and "HS256" in settings.auth_algorithms:
        found["auth_secret"] = SecretStr(DataDir(settings.data_dir).secret("auth"))
    if not settings.database_url and (settings.data_dir / "pg").exists():
        found["database_url"] = SecretStr(EmbeddedPostgres(settings.data_dir).url)
    if not settings.redis_url and (settings.data_dir / "redis").exists():
        found["redis_url"] = SecretStr(EmbeddedRedis(settings.data_dir).url)
    return settings.model_copy(update=found)
