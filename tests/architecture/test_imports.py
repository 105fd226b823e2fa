"""What importing the package costs and shows."""

import subprocess
import sys

import dataflow

HEAVY = (
    "fastapi", "typer", "rich", "redis", "alembic", "networkx", "asyncpg", "aiosqlite",
    "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite",
)  # fmt: skip


def test_importing_dataflow_loads_nothing_heavy():
    code = f"import sys, dataflow; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_every_public_name_exists_and_is_documented():
    undocumented = [
        name for name in dataflow.__all__ if not (getattr(dataflow, name).__doc__ or "").strip()
    ]

    assert undocumented == []


def test_the_names_of_the_seed_are_importable_where_it_says():
    from dataflow.core.config import DataFlowConfig

    assert DataFlowConfig is dataflow.DataFlowConfig


def test_the_signposts_at_the_top_cannot_be_imported_as_packages():
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "for name in ('nodes', 'runtime'):\n"
        "    try: __import__(name)\n"
        "    except ImportError as error: print(error)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=dataflow.__file__.rsplit("/", 2)[0],
    )

    assert found.stdout.splitlines() == [
        "import dataflow.nodes; the folder named nodes at the top of the project is a signpost",
        "import dataflow.runtime; the folder named runtime at the top of the project is a signpost",
    ]
