"""DataFlow: a decorated class becomes a table, nine workflow nodes and a repository."""

import logging

from dataflow.app import DataFlow
from dataflow.config import DataFlowConfig
from dataflow.errors import DataFlowError
from dataflow.models.base import Model
from dataflow.models.fields import Field, Relationship
from dataflow.nodes.control import MergeNode, SwitchNode
from dataflow.nodes.function import node
from dataflow.nodes.node import Node
from dataflow.nodes.parameter import NodeParameter
from dataflow.runtime.builder import WorkflowBuilder
from dataflow.runtime.local import AsyncLocalRuntime, LocalRuntime
from dataflow.runtime.results import Results
from dataflow.runtime.retry import Retry
from dataflow.runtime.workflow import Workflow

__all__ = [
    "AsyncLocalRuntime",
    "DataFlow",
    "DataFlowConfig",
    "DataFlowError",
    "Field",
    "LocalRuntime",
    "MergeNode",
    "Model",
    "Node",
    "NodeParameter",
    "Relationship",
    "Results",
    "Retry",
    "SwitchNode",
    "Workflow",
    "WorkflowBuilder",
    "node",
]

logging.getLogger("dataflow").addHandler(logging.NullHandler())
