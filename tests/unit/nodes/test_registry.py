"""Registries: node types by name, and where a builder looks for one."""

import pytest

from dataflow import Node
from dataflow.errors import AmbiguousNodeError, DuplicateNodeError, UnknownNodeError
from dataflow.nodes.registry import Registry, default_registry, find_node_type


class First(Node):
    def run(self) -> int:
        return 1


class Second(Node):
    node_type = "First"

    def run(self) -> int:
        return 2


@pytest.fixture
def registries() -> tuple[Registry, Registry]:
    pair = Registry("one"), Registry("other")
    yield pair
    for registry in pair:
        registry.close()


def test_a_type_is_found_by_its_name(registries):
    registry, _ = registries
    registry.add(First, "a.py:1")

    assert registry.get("First") is registry.find("First") is registry.First is First
    assert registry.find("Other") is None
    assert registry.names() == ("First",)
    assert list(registry) == [First]
    assert registry.as_mapping() == {"First": First}
    assert "First" in dir(registry)


def test_get_refuses_an_unknown_name_with_the_nearest(registries):
    registry, _ = registries
    registry.add(First, "a.py:1")

    with pytest.raises(UnknownNodeError) as caught:
        registry.get("Frist")

    assert str(caught.value) == (
        "there is no node type 'Frist'.\n  help: did you mean 'First'?\n  code: DF101"
    )


def test_an_unknown_attribute_is_an_attribute_error_with_the_nearest(registries):
    registry, _ = registries
    registry.add(First, "a.py:1")

    with pytest.raises(AttributeError, match="did you mean 'First'"):
        _ = registry.Frist


def test_a_name_from_another_place_is_refused(registries):
    registry, _ = registries
    registry.add(First, "a.py:1")

    with pytest.raises(DuplicateNodeError) as caught:
        registry.add(Second, "b.py:2")

    assert (caught.value.first, caught.value.at) == ("a.py:1", "b.py:2")
    assert registry.get("First") is First


def test_the_same_place_again_replaces(registries):
    registry, _ = registries
    registry.add(First, "a.py:1")
    registry.add(Second, "a.py:1")

    assert registry.get("First") is Second


def test_a_removed_name_is_free(registries):
    registry, _ = registries
    registry.add(First, "a.py:1")
    registry.remove("First")
    registry.remove("never")
    registry.add(Second, "b.py:2")

    assert registry.get("First") is Second


def test_the_given_registry_comes_first_and_then_the_default(registries):
    registry, other = registries
    other.add(First, "a.py:1")

    assert find_node_type("SwitchNode", registry) is default_registry.get("SwitchNode")
    with pytest.raises(UnknownNodeError):
        find_node_type("First", registry)
    assert find_node_type("First", other) is First


def test_without_a_registry_all_live_ones_are_looked_at(registries):
    registry, _ = registries
    registry.add(First, "a.py:1")

    assert find_node_type("First", None) is First


def test_a_name_in_two_live_registries_is_ambiguous(registries):
    one, other = registries
    one.add(First, "a.py:1")
    other.add(Second, "b.py:1")

    with pytest.raises(AmbiguousNodeError) as caught:
        find_node_type("First", None, "c.py:3")

    assert (caught.value.count, caught.value.at) == (2, "c.py:3")
    other.close()
    assert find_node_type("First", None) is First
