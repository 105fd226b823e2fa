"""Settings, from arguments, the environment and `.env`, frozen after construction."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from dataflow.errors import ConfigurationError, did_you_mean

__all__ = ["DEFAULT_URL", "DataFlowConfig", "config_from"]

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
DEFAULT_URL = "sqlite:///:memory:"


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _named(name: str) -> AliasChoices:
    return AliasChoices(f"DATAFLOW_{name}", f"DATABASE_{name}")


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


class DataFlowConfig(BaseSettings):
    """Settings of one `DataFlow` object.

    Each setting is taken from the first place that has it: the argument, the
    environment variable `DATAFLOW_<NAME>`, the same name in a file `.env` of the
    working directory, the default. `database_url`, `pool_size`, `max_overflow` and
    `echo` also look at `DATABASE_<NAME>` (`DATABASE_URL`).

    Raises:
        ConfigurationError: For an unknown name or a value of the wrong type.
    """

    model_config = SettingsConfigDict(
        env_prefix="DATAFLOW_",
        env_file=".env",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    database_url: str = Field(
        DEFAULT_URL,
        repr=False,
        validation_alias=AliasChoices("DATAFLOW_DATABASE_URL", "DATABASE_URL"),
    )
    """`postgresql://…`, `sqlite:///path` (three slashes: relative to the working
    directory), `sqlite:///:memory:`. Default: an in-memory SQLite database."""

    pool_size: int = Field(10, ge=1, validation_alias=_named("POOL_SIZE"))
    """Connections kept open per event loop. 10 suffices for thousands of short statements."""

    max_overflow: int = Field(10, ge=0, validation_alias=_named("MAX_OVERFLOW"))
    """Connections opened above `pool_size` under load, and closed after use."""

    pool_timeout_s: float = Field(30.0, gt=0)
    """Seconds that a call waits for a free connection before `PoolExhaustedError`."""

    pool_queue_limit: int | None = Field(None, ge=0)
    """Calls that may wait for a connection at once; None: no limit but the time."""

    pool_recycle_s: float = Field(1800.0, gt=0)
    """Age in seconds at which an idle connection is replaced."""

    connect_timeout_s: float = Field(10.0, gt=0)
    """Seconds for opening one connection."""

    statement_timeout_s: float | None = Field(60.0, gt=0)
    """Seconds for one statement (bulk calls: up to 100,000 records); None: no limit."""

    statement_cache_size: int = Field(256, ge=0)
    """PostgreSQL: prepared statements kept per connection; 0 behind a PgBouncer that
    pools transactions."""

    retry_attempts: int = Field(6, ge=1)
    """Tries in total of a call that failed for a passing reason and may be repeated; 1: no
    retries."""

    retry_delay_s: float = Field(0.05, ge=0)
    """Longest pause before the second try; it doubles with each further one, and the pause
    is a random part of it."""

    retry_max_delay_s: float = Field(1.0, ge=0)
    """Longest pause before any try."""

    slow_query_s: float | None = Field(None, gt=0)
    """Seconds from which a statement is logged to `dataflow.sql.slow`; None: none is."""

    busy_timeout_s: float = Field(30.0, gt=0)
    """SQLite: seconds that a statement waits for the lock of another loop or process."""

    auto_migrate: bool = True
    """Create missing tables and columns at first use; nothing is ever dropped."""

    multi_tenant: bool = False
    """Give every model the option `multi_tenant`, unless it says otherwise."""

    row_level_security: bool = False
    """PostgreSQL: let the server itself keep tenants apart, by policies on their tables."""

    existing_schema_mode: bool = False
    """Check the models against the database and never write schema."""

    migrations_path: Annotated[str, BeforeValidator(_path)] = "migrations"
    """Folder of the revision files; relative to the working directory."""

    echo: bool = Field(default=False, validation_alias=_named("ECHO"))
    """Log every statement to the logger `dataflow.sql`, without its values."""

    batch_size: int = Field(5_000, ge=1)
    """Records held in memory at once by a bulk call."""

    cursor_secret: SecretStr | None = None
    """Key that signs pagination cursors. Default: derived from the database URL."""

    log_level: Annotated[LogLevel | None, BeforeValidator(_upper)] = None
    """Level of the logger `dataflow`; None leaves it as it is."""

    def __init__(self, **settings: Any) -> None:
        """Merge arguments, environment and `.env`, and check all of it."""
        known = type(self).model_fields
        for name in settings:
            if name not in known:
                raise ConfigurationError(
                    problem=f"there is no setting {name!r}.", advise=did_you_mean(name, known)
                )
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigurationError(problem=_explain(error)) from None

    def apply_log_level(self) -> None:
        """Set the level of the logger `dataflow` when one is configured."""
        if self.log_level:
            logging.getLogger("dataflow").setLevel(self.log_level)


def config_from(
    source: str | DataFlowConfig | Mapping[str, Any] | None,
    config: DataFlowConfig | None,
    settings: Mapping[str, Any],
) -> DataFlowConfig:
    """Return the settings that a URL, a config or a dict means; `settings` win.

    Raises:
        ConfigurationError: If both are given, or the source is of another kind.
    """
    if source is not None and config is not None:
        raise ConfigurationError(problem="give the settings once: as first argument or as config.")
    given: dict[str, Any] = {}
    base = source if config is None else config
    if isinstance(base, DataFlowConfig):
        if not settings:
            return base
        given = base.model_dump(exclude_unset=True)
    elif isinstance(base, str):
        given = {"database_url": base}
    elif isinstance(base, Mapping):
        given = dict(base)
    elif base is not None:
        raise ConfigurationError(problem=f"DataFlow takes a URL, a config or a dict, not {base!r}.")
    return DataFlowConfig(**{**given, **settings})


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"])
        lines.append(f"setting {name!r}: {item['msg']}")
    return "; ".join(lines) + "."
