"""Bulk verbs take Arrow streams, of tables and data frames, and change nothing in them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from dataflow import DataFlow
from dataflow.errors import ParameterError


@pytest.fixture
def readings(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Reading:
        place: str | None = None
        value: float | None = None
        price: Decimal | None = None
        at: dt.datetime | None = None
        length: dt.timedelta | None = None
        hour: dt.time | None = None
        tags: list[str] | None = None

    return db


def stored(db: DataFlow) -> list[dict[str, Any]]:
    records = db.list("Reading", sort="id")["records"]
    return [{k: v for k, v in r.items() if v is not None and k != "id"} for r in records]


def test_a_table_becomes_records(readings: DataFlow):
    noon = dt.datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=dt.UTC)
    rows = [
        {"place": "a", "value": 1.5, "price": Decimal("1.50"), "at": noon, "tags": ["x", "y"]},
        {"length": dt.timedelta(1, 2, 3), "hour": dt.time(1, 2, 3, 4)},
    ]
    table = pa.Table.from_pylist([{"place": None, **rows[0]}, rows[1]], schema=pa.schema({
        "place": pa.string(), "value": pa.float64(), "price": pa.decimal128(9, 2),
        "at": pa.timestamp("us", "Europe/Berlin"), "length": pa.duration("us"),
        "hour": pa.time64("us"), "tags": pa.list_(pa.string()),
    }))  # fmt: skip
    assert readings.bulk_create("Reading", table)["inserted"] == 2
    assert stored(readings) == rows


def test_a_stream_of_batches_is_read_batch_by_batch(readings: DataFlow):
    batch = pa.record_batch({"place": [f"p{n}" for n in range(1_000)]})
    reader = pa.RecordBatchReader.from_batches(batch.schema, iter([batch] * 3))
    assert readings.bulk_create("Reading", reader, batch_size=300)["inserted"] == 3_000
    assert readings.count("Reading", {"place": "p999"}) == 3


@pytest.mark.parametrize(
    ("name", "kind"),
    [("at", pa.timestamp("ns", "UTC")), ("length", pa.duration("ns")), ("hour", pa.time64("ns"))],
)
def test_nanoseconds_are_refused_where_they_would_be_lost(
    readings: DataFlow, name: str, kind: pa.DataType
):
    whole, fine = (pa.table({name: pa.array([number], kind)}) for number in (5_000, 5_001))
    readings.bulk_create("Reading", whole)
    (record,) = stored(readings)
    assert (
        record
        == {
            "at": {"at": dt.datetime(1970, 1, 1, 0, 0, 0, 5, tzinfo=dt.UTC)},
            "length": {"length": dt.timedelta(microseconds=5)},
            "hour": {"hour": dt.time(0, 0, 0, 5)},
        }[name]
    )
    with pytest.raises(ParameterError, match=f"column '{name}' has nanoseconds"):
        readings.bulk_create("Reading", fine)
    assert len(stored(readings)) == 1


def test_two_columns_of_one_name_are_refused(readings: DataFlow):
    twins = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["place", "place"])
    with pytest.raises(ParameterError, match="'place' as the name of several columns"):
        readings.bulk_create("Reading", twins)
