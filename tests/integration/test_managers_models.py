"""Which models a `DatabaseManager` manages."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped

from dataflow.models.naming import NAMING
from dataflow.models.ready import BaseModel
from dataflow.repositories import DatabaseManager


class Apart(BaseModel):
    __abstract__ = True
    metadata = sa.MetaData(naming_convention=NAMING)


class Gauge(BaseModel):
    __tablename__ = "gauges"
    level: Mapped[int]


class ApartGauge(Apart):
    __tablename__ = "gauges"
    level: Mapped[str]


def test_a_base_with_metadata_of_its_own_has_models_of_its_own():
    default, apart = DatabaseManager("sqlite:///:memory:"), None
    try:
        apart = DatabaseManager("sqlite:///:memory:", base=Apart)

        assert "Gauge" in default.register()
        assert "ApartGauge" not in default.register()
        assert apart.register() == ["ApartGauge"]
    finally:
        for manager in filter(None, (default, apart)):
            manager.db.close()
