"""Distinct records, locks, estimates, plans, and pipelines in workflows."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder
from dataflow.errors import FilterError, ParameterError, WorkflowDefinitionError
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
            "a distinct query sorts by 'state', which is not among its fields.",
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
