"""The wheel, installed beside files that would shadow a careless package."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

QUICK_START = """
from dataflow import DataFlow, LocalRuntime, WorkflowBuilder

db = DataFlow("sqlite:///:memory:")

@db.model
class User:
    id: int
    name: str

workflow = WorkflowBuilder()
workflow.add_node("UserCreateNode", "create_user", {"name": "Ada"})
results, run_id = LocalRuntime().execute(workflow.build())
print(results["create_user"]["name"])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("dataflow_nodes-*.whl"))


def test_the_wheel_holds_the_package_alone(wheel: Path):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {name for name in names if not name.endswith(".dist-info")} == {"dataflow"}
    assert "dataflow/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_wheel_works_beside_a_hostile_nodes_module_and_runtime_package(
    wheel: Path, tmp_path: Path
):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "nodes.py").write_text("raise RuntimeError('the wrong nodes')")
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "__init__.py").write_text("raise RuntimeError('the wrong runtime')")
    script = tmp_path / "app.py"
    script.write_text(QUICK_START)

    found = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
    )

    assert (found.stdout.strip(), found.stderr) == ("Ada", "")
