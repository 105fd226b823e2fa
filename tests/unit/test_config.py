"""Settings: where they come from, and which are refused."""

import logging

import pytest
from pydantic import ValidationError

from dataflow import DataFlow, DataFlowConfig
from dataflow.core.config import DataFlowConfig as FromCore
from dataflow.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def test_without_anything_it_is_an_in_memory_database():
    assert DataFlowConfig().database_url == "sqlite:///:memory:"


def test_an_argument_wins_over_the_environment_and_that_over_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("DATAFLOW_POOL_SIZE=3\nDATAFLOW_MAX_OVERFLOW=4\nDATAFLOW_ECHO=1")
    monkeypatch.setenv("DATAFLOW_POOL_SIZE", "5")
    monkeypatch.setenv("DATAFLOW_MAX_OVERFLOW", "6")

    config = DataFlowConfig(pool_size=7)

    assert (config.pool_size, config.max_overflow, config.echo) == (7, 6, True)


def test_the_longer_name_of_the_url_wins(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "sqlite:///short.db")
    short = DataFlowConfig().database_url
    monkeypatch.setenv("DATAFLOW_DATABASE_URL", "sqlite:///long.db")

    assert (short, DataFlowConfig().database_url) == ("sqlite:///short.db", "sqlite:///long.db")


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("DATAFLOW_DATABASE_URL", "")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///app.db")

    assert DataFlowConfig().database_url == "sqlite:///app.db"


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(ConfigurationError) as caught:
        DataFlowConfig(pool_sise=3)

    assert str(caught.value) == (
        "there is no setting 'pool_sise'.\n  help: did you mean 'pool_size'?\n  code: DF111"
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"pool_size": 0}, "setting 'pool_size': Input should be greater than or equal to 1."),
        ({"pool_timeout_s": 0}, "setting 'pool_timeout_s': Input should be greater than 0."),
        (
            {"pool_size": "x", "echo": "maybe"},
            (
                "setting 'pool_size': Input should be a valid integer, unable to parse string "
                "as an integer; "
                "setting 'echo': Input should be a valid boolean, unable to interpret input."
            ),
        ),
    ],
    ids=str,
)
def test_wrong_values_are_refused_together(settings, text):
    with pytest.raises(ConfigurationError) as caught:
        DataFlowConfig(**settings)

    assert caught.value.problem == text


def test_a_wrong_level_of_the_log_is_refused():
    with pytest.raises(ConfigurationError):
        DataFlow("sqlite:///:memory:", log_level="LOUD")


def test_the_level_of_the_log_is_set_when_given():
    before = logging.getLogger("dataflow").level
    DataFlow("sqlite:///:memory:", log_level="debug").close()
    found = logging.getLogger("dataflow").level
    logging.getLogger("dataflow").setLevel(before)

    assert found == logging.DEBUG


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        DataFlowConfig().pool_size = 3


def test_secrets_are_not_shown():
    config = DataFlowConfig(database_url="postgresql://u:geheim@h/d", cursor_secret="auch geheim")

    assert "geheim" not in f"{config!r} {config}"


def test_the_seeds_import_is_the_same_class():
    assert FromCore is DataFlowConfig


class TestSources:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: DataFlow("sqlite:///:memory:", pool_size=3),
            lambda: DataFlow({"database_url": "sqlite:///:memory:", "pool_size": 3}),
            lambda: DataFlow(DataFlowConfig(pool_size=3)),
            lambda: DataFlow(config=DataFlowConfig(pool_size=3)),
            lambda: DataFlow(pool_size=3),
            lambda: DataFlow({"pool_size": 9}, pool_size=3),
            lambda: DataFlow(DataFlowConfig(pool_size=9), pool_size=3),
        ],
    )
    def test_a_dataflow_takes_a_url_a_dict_a_config_or_settings(self, make):
        db = make()
        db.close()

        assert (db.config.database_url, db.config.pool_size) == ("sqlite:///:memory:", 3)

    def test_settings_given_twice_are_refused(self):
        with pytest.raises(ConfigurationError, match="give the settings once"):
            DataFlow("sqlite:///:memory:", config=DataFlowConfig())

    def test_what_is_no_source_is_refused(self):
        with pytest.raises(ConfigurationError, match="takes a URL, a config or a dict, not 42"):
            DataFlow(42)
