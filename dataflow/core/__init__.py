"""A signpost for programs that import `dataflow.core.config`; no code lives here."""
