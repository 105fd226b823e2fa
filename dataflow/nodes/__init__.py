"""Nodes: what a workflow is made of."""

if __name__ != "dataflow.nodes":
    msg = "import dataflow.nodes; the folder named nodes at the top of the project is a signpost"
    raise ImportError(msg)
