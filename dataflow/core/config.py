"""`DataFlowConfig` under the path that other products of this family use."""

from dataflow.config import DataFlowConfig

__all__ = ["DataFlowConfig"]
