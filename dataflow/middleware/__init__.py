"""Signpost: `dataflow.middleware.database` names the data layer in one place."""
