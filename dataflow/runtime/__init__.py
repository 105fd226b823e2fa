"""Workflows: built, checked, frozen and run."""

if __name__ != "dataflow.runtime":
    msg = "import dataflow.runtime; the folder named runtime at the top of the project is a signpost"
    raise ImportError(msg)
