"""The code blocks of the source document 004, from the document or from the checked-in copy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

COPIES = Path(__file__).parent / "seed_004_blocks"
ROOT = Path(__file__).parents[2]
SEED = ROOT.parent / "shared" / "seeds" / "004_dataflow.rst"
HEADINGS = {
    "quick_start_model": "Model Definition and Node Generation",
    "quick_start_workflow": "Using Generated Nodes in Workflows",
    "bulk_operations": "Bulk Operations",
    "multi_database_configuration": "Multi-Database Configuration",
    "model_relationships": "Model Relationships",
    "schema_management": "Schema Management",
    "query_builder": "Query Builder Integration",
    "comparison_operators": "Comparison Operators",
    "array_and_json_operations": "Array and JSON Operations",
    "aggregation_pipeline": "Aggregation Pipeline",
    "analytics_dashboard": "1. E-commerce Analytics Dashboard",
    "real_time_monitoring": "3. Real-time Monitoring",
    "from_raw_sql": "From Raw SQL",
    "from_orm": "From ORM",
}
_IMPORTS = {
    "from kailash.workflow.builder import": "from dataflow import",
    "from kailash.runtime.local import": "from dataflow import",
}
_URLS = ("postgresql://user:pass@localhost/dbname", "postgresql://...")


def find_seed() -> Path | None:
    """Return the path of the document, or None where it is not at hand."""
    return SEED if SEED.exists() else None


def read_blocks(document: Path) -> dict[str, str]:
    """Return `{block name: code}` of the document's blocks."""
    text = document.read_text(encoding="utf-8")
    return {name: _block_under(text, heading) for name, heading in HEADINGS.items()}


def _block_under(text: str, heading: str) -> str:
    found = re.search(
        rf"^\*\*{re.escape(heading)}:\*\*\n\n\.\. code-block:: python\n\n((?:   .*\n|\n)+)",
        text,
        re.MULTILINE,
    )
    assert found is not None, heading
    return "\n".join(line[3:] for line in found[1].splitlines()).rstrip("\n") + "\n"


def read_copies() -> dict[str, str]:
    """Return `{block name: code}` of the checked-in copy."""
    return {name: (COPIES / f"{name}.txt").read_text(encoding="utf-8") for name in HEADINGS}


def runnable(code: str, url: str) -> str:
    """Return a block with its imports and its database URL mapped, and nothing else."""
    mapping: Mapping[str, str] = {**_IMPORTS, **dict.fromkeys(_URLS, url)}
    for written, meant in mapping.items():
        code = code.replace(written, meant)
    return code
