"""Whether the server's policies can keep tenants apart at all."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from dataflow.database.database import Database
from dataflow.database.guard import is_policy
from dataflow.errors import ConfigurationError
from dataflow.models.spec import ModelSpec
from dataflow.schema.triggers import find_trigger_work
from dataflow.schema.work import run_schema_work

__all__ = ["check_walls"]


async def check_walls(database: Database, specs: Sequence[ModelSpec]) -> None:
    """Refuse a user whom no policy stops, and tables that nobody will give policies.

    Raises:
        ConfigurationError: Saying which of both.
    """
    if not any(spec.tenant for spec in specs):
        return
    driver, config = database.driver, database.config
    written = config.auto_migrate or config.existing_schema_mode

    def check(connection: sa.Connection) -> None:
        if connection.exec_driver_sql(driver.bypass_query).scalar():
            raise ConfigurationError(
                problem="row_level_security has no effect for this user of the database, who is "
                "a superuser or has BYPASSRLS.",
                advise="connect as a role that is neither; it may own the tables",
            )
        missing = [] if written else find_trigger_work(connection, driver, specs).missing
        for table, name in missing:
            if is_policy(name):
                raise ConfigurationError(
                    problem=f"row_level_security has no effect on {table!r}: it has no such "
                    "policies, or they are not enabled and forced.",
                    advise="run db.migrations.apply()",
                )

    await run_schema_work(database, check, write=False)
