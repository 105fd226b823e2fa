"""S: a state machine over nine nodes, transactions, soft delete and versions of two tenants."""

from __future__ import annotations

import copy
from contextlib import ExitStack, nullcontext, suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from bench.faults.case import Case, Verdict
from bench.faults.world import Leaks, World
from dataflow import DataFlow, Field, LocalRuntime, WorkflowBuilder
from dataflow.errors import StaleRecordError, UniqueViolationError, WorkflowFailedError

EXAMPLES = 200
STEPS = 50
TENANTS = ("acme", "globex")

tenants = st.sampled_from(TENANTS)
codes = st.integers(0, 5)
numbers = st.integers(0, 9)
places = st.integers(0, 50)
rows = st.lists(st.tuples(codes, numbers), min_size=1, max_size=4, unique_by=lambda row: row[0])

Cards = dict[int, dict[str, Any]]


class _UndoError(Exception):
    """Rolls a transaction back."""


def open_cards(url: str) -> DataFlow:
    db = DataFlow(url)

    @db.model(multi_tenant=True, soft_delete=True, versioned=True)
    class Card:
        id: int
        code: int = Field(unique=True)
        n: int

    return db


class CardMachine(RuleBasedStateMachine):
    """Does the same to the database and to dictionaries."""

    db: DataFlow
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.runtime = LocalRuntime()
        self.cards: dict[str, Cards] = {tenant: {} for tenant in TENANTS}
        self.before: dict[str, Cards] | None = None
        self.open = ExitStack()
        for tenant in TENANTS:
            self.node(tenant, "BulkDelete", all=True, hard=True, include_deleted=True)

    def node(self, tenant: str, verb: str, **inputs: Any) -> Any:
        """Run one node; in an open transaction, so that it can fail alone."""
        workflow = WorkflowBuilder(db=self.db)
        workflow.add_node(f"Card{verb}Node", "only", inputs)
        inside = self.db.transaction(savepoint=True) if self.before is not None else nullcontext()
        type(self).steps += 1
        try:
            with inside:
                return self.runtime.execute(workflow, tenant=tenant)[0]["only"]
        except WorkflowFailedError as error:
            raise error.failures["only"] from None

    def key(self, place: int) -> int:
        """Return the key of anyone's card, deleted or not."""
        keys = sorted(key for cards in self.cards.values() for key in cards)
        return keys[place % len(keys)] if keys else 0

    def live(self, tenant: str) -> Cards:
        return {key: card for key, card in self.cards[tenant].items() if not card["deleted"]}

    def coded(self, tenant: str, code: int) -> int | None:
        return next((k for k, card in self.live(tenant).items() if card["code"] == code), None)

    def keep(self, tenant: str, record: dict[str, Any]) -> None:
        card = {name: record[name] for name in ("code", "n", "version")}
        self.cards[tenant][record["id"]] = {**card, "deleted": False}

    def change(self, tenant: str, key: int, **values: Any) -> None:
        card = self.cards[tenant][key]
        card.update(values, version=card["version"] + 1)

    @rule(tenant=tenants, code=codes, n=numbers)
    def create(self, tenant: str, code: int, n: int) -> None:
        try:
            self.keep(tenant, self.node(tenant, "Create", code=code, n=n))
        except UniqueViolationError:
            assert self.coded(tenant, code) is not None

    @rule(tenant=tenants, place=places)
    def read(self, tenant: str, place: int) -> None:
        key = self.key(place)
        found = self.node(tenant, "Read", id=key)
        assert found["found"] == (key in self.live(tenant))

    @rule(tenant=tenants, place=places, n=numbers)
    def update(self, tenant: str, place: int, n: int) -> None:
        key = self.key(place)
        found = self.node(tenant, "Update", id=key, fields={"n": n})
        assert found["updated"] == (key in self.live(tenant))
        if found["updated"]:
            self.change(tenant, key, n=n)

    @rule(tenant=tenants, place=places, n=numbers, version=st.integers(1, 3))
    def update_of_a_version(self, tenant: str, place: int, n: int, version: int) -> None:
        key = self.key(place)
        card = self.live(tenant).get(key)
        try:
            found = self.node(tenant, "Update", id=key, fields={"n": n}, expect_version=version)
        except StaleRecordError:
            assert card is not None
            assert card["version"] != version
            return
        assert found["updated"] == (card is not None)
        if card is not None:
            assert card["version"] == version
            self.change(tenant, key, n=n)

    @rule(tenant=tenants, place=places, hard=st.booleans())
    def delete(self, tenant: str, place: int, *, hard: bool) -> None:
        key = self.key(place)
        found = self.node(tenant, "Delete", id=key, hard=hard)
        assert found["deleted"] == (key in self.live(tenant))
        if found["deleted"]:
            self.change(tenant, key, deleted=True)
            if hard:
                del self.cards[tenant][key]

    @rule(tenant=tenants, least=numbers)
    def list_some(self, tenant: str, least: int) -> None:
        found = self.node(tenant, "List", filter={"n": {"$gte": least}}, sort="id", count=True)
        expected = [key for key, card in sorted(self.live(tenant).items()) if card["n"] >= least]
        assert [record["id"] for record in found["records"]] == expected
        assert found["total"] == len(expected)

    @rule(tenant=tenants, data=rows)
    def bulk_create(self, tenant: str, data: list[tuple[int, int]]) -> None:
        given = [{"code": code, "n": n} for code, n in data]
        try:
            found = self.node(tenant, "BulkCreate", data=given, returning="records")
        except UniqueViolationError:
            assert any(self.coded(tenant, code) is not None for code, _ in data)
            return
        for record in found["records"]:
            assert self.coded(tenant, record["code"]) is None
            self.keep(tenant, record)

    @rule(tenant=tenants, least=numbers, n=numbers)
    def bulk_update(self, tenant: str, least: int, n: int) -> None:
        found = self.node(tenant, "BulkUpdate", filter={"n": {"$gte": least}}, fields={"n": n})
        keys = [key for key, card in self.live(tenant).items() if card["n"] >= least]
        for key in keys:
            self.change(tenant, key, n=n)
        assert found["updated"] == len(keys)

    @rule(tenant=tenants, some=st.lists(places, min_size=1, max_size=4), n=numbers)
    def bulk_update_of_rows(self, tenant: str, some: list[int], n: int) -> None:
        keys = {self.key(place) for place in some}
        data = [{"id": key, "n": n} for key in keys]
        found = self.node(tenant, "BulkUpdate", data=data)
        mine = keys & self.live(tenant).keys()
        for key in mine:
            self.change(tenant, key, n=n)
        assert found["updated"] == len(mine)

    @rule(tenant=tenants, some=st.lists(places, min_size=1, max_size=4))
    def bulk_delete(self, tenant: str, some: list[int]) -> None:
        keys = {self.key(place) for place in some}
        found = self.node(tenant, "BulkDelete", ids=sorted(keys))
        mine = keys & self.live(tenant).keys()
        for key in mine:
            self.change(tenant, key, deleted=True)
        assert found["deleted"] == len(mine)

    @rule(tenant=tenants, data=rows, ignore=st.booleans())
    def bulk_upsert(self, tenant: str, data: list[tuple[int, int]], *, ignore: bool) -> None:
        known = {code: self.coded(tenant, code) for code, _ in data}
        found = self.node(
            tenant, "BulkUpsert", data=[{"code": code, "n": n} for code, n in data],
            conflict_on=["code"], on_conflict="ignore" if ignore else "update",
        )  # fmt: skip
        assert found["inserted"] == sum(key is None for key in known.values())
        for code, n in data:
            key = known[code]
            if key is None:
                self.keep(tenant, self.node(tenant, "Read", filter={"code": code}))
            elif not ignore:
                self.change(tenant, key, n=n)

    @rule()
    def begin(self) -> None:
        if self.before is None:
            self.open.enter_context(self.db.transaction())
            self.before = copy.deepcopy(self.cards)

    @rule(commit=st.booleans())
    def end(self, *, commit: bool) -> None:
        if self.before is None:
            return
        if commit:
            self.open.close()
        else:
            undo = _UndoError()
            with suppress(_UndoError):
                self.open.__exit__(_UndoError, undo, None)
            self.cards = self.before
        self.before = None

    @invariant()
    def the_database_holds_what_the_dictionaries_hold(self) -> None:
        for tenant, cards in self.cards.items():
            with self.db.tenant(tenant):
                found = self.db.list("Card", limit=None, include_deleted=True)["records"]
            assert {r["tenant_id"] for r in found} <= {tenant}
            assert {
                r["id"]: (r["code"], r["n"], r["version"], bool(r["deleted_at"])) for r in found
            } == {key: (c["code"], c["n"], c["version"], c["deleted"]) for key, c in cards.items()}

    def teardown(self) -> None:
        self.open.close()


def state_machine(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_cards(url)
    machine = type("Machine", (CardMachine,), {"db": db})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=world.size(EXAMPLES),
                stateful_step_count=STEPS,
                deadline=None,
                derandomize=world.share < 1,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except (AssertionError, HypothesisException) as error:
        verdict.problems.append(f"mismatch: {error!r} {getattr(error, '__notes__', '')}"[:1500])
    verdict.figures = {"examples": world.size(EXAMPLES), "node runs": machine.steps}
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("S", "nine nodes, transactions, soft delete, versions against dictionaries",
         state_machine, limit_s=900),
)  # fmt: skip
