"""Distinct records, locks, estimates, plans, and pipelines in workflows."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder
from dataflow.errors import (
    DefinitionError,
    FilterError,
    ParameterError,
    WorkflowDefinitionError,
)
from dataflow.portal import portal


@pytest.fixture
def jobs(db: DataFlow) -> DataFlow:
    @db.model
    class Job:
        id: int
        state: str
        city: str | None = None

    db.bulk_create(
        Job,
        [{"id": n, "state": "new" if n % 2 else "done", "city": [None, "Rome"][n % 2]}
         for n in range(1, 9)],
    )  # fmt: skip
    return db


def is_postgres(db: DataFlow) -> bool:
    return db.database.driver.name == "postgresql"


def test_equal_records_are_returned_once(jobs: DataFlow):
    query = jobs.query("Job").fields("city", "state").sort("city").distinct()

    assert query.all() == [{"city": None, "state": "done"}, {"city": "Rome", "state": "new"}]


def test_distinct_records_are_counted_once(jobs: DataFlow):
    query = jobs.query("Job").fields("city", "state").distinct()

    assert query.count() == 2
    assert query.where({"id": 99}).count() == 0


def test_one_of_a_limited_query_is_its_first(jobs: DataFlow):
    assert jobs.query("Job").sort("-id").limit(1).one().id == 8


@pytest.mark.parametrize(
    ("fields", "sort", "problem"),
    [
        ((), None, "distinct() needs fields(...), and no include."),
        (
            ("city",),
            "state",
            "a distinct query sorts by its fields, and 'state' is none.",
        ),
    ],
)
def test_a_distinct_query_without_meaning_is_refused(
    jobs: DataFlow, fields: tuple[str, ...], sort: Any, problem: str
):
    query = jobs.query("Job").distinct()
    query = query.fields(*fields) if fields else query
    query = query.sort(sort) if sort else query

    with pytest.raises(ParameterError) as caught:
        query.all()

    assert caught.value.problem_text() == problem


def test_workers_take_different_jobs_by_skipping_locked_ones(jobs: DataFlow):
    if not is_postgres(jobs):
        pytest.skip("SQLite has one writer")
    query = jobs.query("Job").where({"state": "new"}).sort("id").limit(2)
    taken: list[list[int]] = []
    held, done = threading.Event(), threading.Event()

    def first() -> None:
        with jobs.transaction():
            taken.append([job.id for job in query.for_update(skip_locked=True).all()])
            held.set()
            done.wait(10)

    worker = threading.Thread(target=first)
    worker.start()
    assert held.wait(10)
    with jobs.transaction():
        taken.append([job.id for job in query.for_update(skip_locked=True).all()])
    done.set()
    worker.join()

    assert taken == [[1, 3], [5, 7]]


def test_a_lock_lasts_for_a_transaction_and_needs_one(jobs: DataFlow):
    with jobs.transaction():
        assert jobs.query("Job").where({"id": 1}).for_update().one().id == 1
    with pytest.raises(ParameterError) as caught:
        jobs.query("Job").for_update().all()

    assert caught.value.problem_text() == (
        "for_update() locks until the transaction ends, and there is none."
    )


def test_a_lock_is_skipped_or_refused_but_not_both(jobs: DataFlow):
    with pytest.raises(ParameterError):
        jobs.query("Job").for_update(skip_locked=True, nowait=True)


def test_a_query_shows_its_statement_with_values_apart(jobs: DataFlow):
    text, args = jobs.query("Job").where({"state": "new'; --"}).fields("id").limit(3).sql()

    assert "new'" not in text
    assert "new'; --" in args
    assert text.startswith("SELECT ")


def test_a_pipeline_shows_its_one_statement(jobs: DataFlow):
    query = jobs.query("Job").where({"state": "new"})
    sql = query.sql([{"$group": {"_id": "$city", "n": {"$sum": 1}}}, {"$sort": {"n": -1}}])

    assert "GROUP BY" in sql.text
    assert sql.args[-1:] == ("new",) or "new" in sql.args


def test_the_databases_plan_is_shown(jobs: DataFlow):
    lines = jobs.query("Job").where({"id": 3}).explain()

    assert lines
    assert any("jobs" in line for line in lines)


def test_a_plan_with_measurements_is_postgresqls(jobs: DataFlow):
    query = jobs.query("Job").where({"id": 3})
    if is_postgres(jobs):
        assert any("actual" in line for line in query.explain(analyze=True))
        return
    with pytest.raises(ParameterError):
        query.explain(analyze=True)


def test_an_estimate_is_near_the_count(jobs: DataFlow):
    jobs.bulk_create("Job", [{"state": "old"} for _ in range(5_000)])
    if is_postgres(jobs):
        driver = jobs.database.driver
        portal.call(jobs.database.run(driver.run_plain, "ANALYZE jobs", write=True))
    query = jobs.query("Job").where({"state": "old"})

    estimate = query.count(estimate=True)
    page = query.page(2, count="estimate")

    assert 4_500 <= estimate <= 5_500
    assert page["total"] == estimate
    assert page["count"] == 2


def test_a_list_counts_exactly_or_by_estimate_only(jobs: DataFlow):
    assert jobs.list("Job", {"state": "new"}, count=True)["total"] == 4
    with pytest.raises(ParameterError):
        jobs.list("Job", {}, count="about")  # type: ignore[typeddict-item]  # the point of the test


PIPELINE: list[dict[str, Any]] = [
    {"$group": {"_id": "$state", "n": {"$sum": 1}}},
    {"$sort": {"_id": 1}},
]


def test_a_pipeline_is_a_node(jobs: DataFlow):
    workflow = WorkflowBuilder(db=jobs)
    workflow.add_node("JobCreateNode", "create", {"state": "done"})
    workflow.add_node("AggregateNode", "states", {"model": "Job", "pipeline": PIPELINE})
    workflow.add_node(
        "AggregateNode", "total",
        {"model": "jobs", "pipeline": [{"$max": "$id"}], "filter": {"state": "done"}},
    )  # fmt: skip
    results, _ = LocalRuntime().execute(workflow.build())

    assert results["states"]["records"] == [{"_id": "done", "n": 5}, {"_id": "new", "n": 4}]
    assert results["states"]["count"] == 2
    assert results["total"]["value"] == results["create"]["id"]


def test_pipelines_of_one_table_run_side_by_side(jobs: DataFlow):
    workflow = WorkflowBuilder(db=jobs)
    for name in ("a", "b"):
        workflow.add_node("AggregateNode", name, {"model": "Job", "pipeline": PIPELINE})

    assert workflow.build().hazards == ()


def test_a_malformed_pipeline_is_refused_when_its_node_is_added(jobs: DataFlow):
    workflow = WorkflowBuilder(db=jobs)
    with pytest.raises((FilterError, WorkflowDefinitionError, ParameterError)) as caught:
        workflow.add_node(
            "AggregateNode", "x", {"model": "Job", "pipeline": [{"$group": {"_id": "$stat"}}]}
        )
        workflow.build()

    assert "'stat'" in str(caught.value)
    assert "did you mean 'state'?" in str(caught.value)


REFUSED: list[tuple[Any, str]] = [
    (lambda q: q.where({"state": {"$in": (n for n in ["new"])}}),
     "$in of field 'state' takes a list."),
    (lambda q: q.where({"state": {"$like": "a\\"}}),
     "$like of field 'state' ends with a backslash that escapes nothing."),
    (lambda q: q.where({"state": {"$contains": "x" * 20_000}}),
     "$contains of field 'state' takes at most 10000 characters, not 20000."),
    (lambda q: q.where({"id": 1}).update(5), "update() takes a dict of fields, not 5."),
    (lambda q: q.where({"id": 1}).update({"$set": {"state": "x"}}),
     "update() takes fields with their new values, not '$set'."),
    (lambda q: q.where({"id": 1}).distinct("state").update({"state": "x"}),
     "update() has no use for distinct(), for_update() and include_deleted()."),
    (lambda q: q.for_update().aggregate([{"$count": "n"}]),
     "a pipeline has no use for for_update()."),
    (lambda q: list(q.iterate(0)),
     "batch must be a whole number from 1 (got 0)."),
    (pickle.dumps, "a query cannot be pickled, because it belongs to a live DataFlow."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "problem"), REFUSED, ids=[case[1][:40] for case in REFUSED])
def test_what_a_query_cannot_do_is_refused_in_its_own_words(
    jobs: DataFlow, call: Any, problem: str
):
    with pytest.raises(DefinitionError) as caught:
        call(jobs.query("Job"))

    assert caught.value.problem_text() == problem


def test_a_query_is_iterated_and_copied(jobs: DataFlow):
    query = jobs.query("Job").where({"state": "new"}).sort("id")

    assert [job.id for job in query] == [1, 3, 5, 7]
    assert copy.deepcopy(query) is query


def test_fields_are_given_one_by_one_or_as_a_list(jobs: DataFlow):
    query = jobs.query("Job").where({"id": 1})

    assert query.fields(["id", "state"]).one() == {"id": 1, "state": "new"}
    assert query.fields("id", "state").one() == query.fields(["id", "state"]).one()
    assert query.fields("id").fields().one() == query.one()


def test_a_record_is_a_value(jobs: DataFlow):
    record = jobs.query("Job").where({"id": 1}).one()

    with pytest.raises(AttributeError, match="a record is a value"):
        record.state = "done"
    assert record.state == record["state"] == "new"


def test_distinct_and_locking_queries_are_iterated_whole(jobs: DataFlow):
    query = jobs.query("Job").sort("id")

    assert [job.id for job in query.distinct("id").iterate(batch=3)] == list(range(1, 9))
    with jobs.transaction():
        assert [job.id for job in query.for_update().iterate(batch=3)] == list(range(1, 9))


def test_a_page_goes_on_where_the_last_one_ended(jobs: DataFlow):
    query = jobs.query("Job").sort("id").offset(2)
    first = query.page(2)
    second = query.page(2, first["next"])

    assert [job.id for job in (*first["records"], *second["records"])] == [3, 4, 5, 6]
    assert len(query.limit(3).page()["records"]) == 3
    with pytest.raises(ParameterError, match="a distinct query has no pages"):
        query.distinct("id").page()


def test_deleted_records_are_found_on_request(db: DataFlow):
    @db.model(soft_delete=True)
    class Memo:
        text: str

    db.bulk_create(Memo, [{"text": "a"}, {"text": "b"}])
    db.delete(Memo, 1)
    query = db.query(Memo)

    assert query.count() == 1
    assert query.include_deleted().count() == 2
    assert [memo.text for memo in query.include_deleted().sort("id").all()] == ["a", "b"]
    assert query.aggregate([{"$count": "n"}]) == [{"n": 1}]
    assert query.include_deleted().aggregate([{"$count": "n"}]) == [{"n": 2}]
