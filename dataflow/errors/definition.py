"""Errors of the program: fix the code."""

from __future__ import annotations

from dataflow.errors.base import DefinitionError, did_you_mean

__all__ = [
    "AmbiguousNodeError",
    "AnnotationError",
    "ConfigurationError",
    "CursorError",
    "DataLossError",
    "DuplicateModelError",
    "DuplicateNodeError",
    "FilterError",
    "IdentifierError",
    "LoopError",
    "MigrationError",
    "MissingExtraError",
    "OptionError",
    "ParameterError",
    "TenantRequiredError",
    "UnfilteredWriteError",
    "UnknownFieldError",
    "UnknownModelError",
    "UnknownNodeError",
    "UnscopedStatementError",
    "WorkflowDefinitionError",
]


class UnknownNodeError(DefinitionError):
    """No node type has that name."""

    code = "DF101"
    text = "there is no node type {name!r}."
    name: str
    known: tuple[str, ...]

    def advice(self) -> str:
        """Name the nearest node type."""
        return did_you_mean(self.name, self.known)


class AmbiguousNodeError(DefinitionError):
    """Several live DataFlow objects have a node type of that name."""

    code = "DF102"
    text = "node type {name!r} exists in {count} DataFlow objects."
    name: str
    count: int

    def advice(self) -> str:
        """Say how to choose one."""
        return f"say which: WorkflowBuilder(db=db), or add_node(db.nodes.{self.name}, …)"


class ParameterError(DefinitionError):
    """A node or verb was given a wrong, missing or unknown input."""

    code = "DF103"
    text = "{problem}"


class WorkflowDefinitionError(DefinitionError):
    """A workflow cannot be built; carries all problems found, one text each."""

    code = "DF104"
    problems: tuple[str, ...]
    workflow: str

    def problem_text(self) -> str:
        """List every problem, like a compiler does."""
        count = len(self.problems)
        head = f"workflow {self.workflow!r} has {count} problem{'s' if count > 1 else ''}:"
        return "\n".join([head, *(f"  {n}. {text}" for n, text in enumerate(self.problems, 1))])


class AnnotationError(DefinitionError):
    """A model field has an annotation that no column can hold."""

    code = "DF105"
    text = "field {field!r} of model {model!r}: {problem}"


class DuplicateModelError(DefinitionError):
    """Two models of one DataFlow share a name or a table.

    Attributes:
        table: The table that both have; None: both have the name.
        first: Where the model stands that was there before.
        second: Where the other stands.
    """

    code = "DF106"
    name: str
    table: str | None
    first: str
    second: str

    def problem_text(self) -> str:
        """Show both places."""
        if self.table is None:
            return f"model {self.name!r} is defined twice: at {self.first} and at {self.second}."
        return (
            f"model {self.name!r} at {self.second} has the table {self.table!r}, "
            f"which the model at {self.first} has already."
        )

    def advice(self) -> str:
        """Say how to keep both."""
        return "rename one of them, or give each its own DataFlow object"


class UnknownModelError(DefinitionError):
    """No model has that name, class or table."""

    code = "DF107"
    text = "there is no model {name!r}."
    name: str
    known: tuple[str, ...]

    def advice(self) -> str:
        """Name the nearest model."""
        return did_you_mean(self.name, self.known)


class UnknownFieldError(DefinitionError):
    """A model has no field of that name."""

    code = "DF108"
    text = "model {model!r} has no field {name!r}."
    name: str
    model: str
    known: tuple[str, ...]

    def advice(self) -> str:
        """Name the nearest field."""
        return did_you_mean(self.name, self.known)


class FilterError(DefinitionError):
    """A filter, sort or projection is malformed."""

    code = "DF109"
    text = "{problem}"


class UnfilteredWriteError(DefinitionError):
    """An update or delete would touch every record."""

    code = "DF110"
    text = "{verb} of {model!r} has an empty filter and would change every record."

    def advice(self) -> str:
        """Say how to mean it."""
        return "give a filter, or all=True (BulkUpdate and BulkDelete) if every record is meant"


class ConfigurationError(DefinitionError):
    """A setting is unknown or has a wrong value."""

    code = "DF111"
    text = "{problem}"


class MissingExtraError(DefinitionError):
    """An optional package is needed and not installed."""

    code = "DF112"
    text = "{feature} needs one more package."

    def advice(self) -> str:
        """Give the line to run."""
        return f"run: pip install 'dataflow-nodes[{self._facts['extra']}]'"


class IdentifierError(DefinitionError):
    """A table, column or index name is not a portable identifier."""

    code = "DF113"
    text = "{kind} name {name!r} {problem}."

    def advice(self) -> str:
        """State the rule."""
        return "use letters, digits and underscores, at most 63, not starting with a digit"


class OptionError(DefinitionError):
    """A model option is unknown or has a wrong value."""

    code = "DF114"
    text = "model {model!r}: {problem}"


class LoopError(DefinitionError):
    """A call was made from an event loop in which it cannot work."""

    code = "DF115"
    text = "{problem}"


class DuplicateNodeError(DefinitionError):
    """Two nodes of one registry, or two steps of one workflow, share a name."""

    code = "DF116"
    text = "{kind} {name!r} exists already, at {first}."

    def advice(self) -> str:
        """Say how to keep both."""
        return "give one of them another name"


class DataLossError(DefinitionError):
    """A migration would lose data, and nobody said that it may."""

    code = "DF118"
    text = "the migration would lose data: {problem}."

    def advice(self) -> str:
        """Say how a rename is told, and how a loss is meant."""
        renames = self._facts.get("renames")
        rename = f"if it was renamed, say renames={renames!r}; " if renames else ""
        return f"{rename}allow_drop=True if the loss is meant"


class MigrationError(DefinitionError):
    """Revision files do not fit each other, the database, or Python."""

    code = "DF121"
    text = "{problem}"


class CursorError(DefinitionError):
    """A pagination cursor was altered, or belongs to another query."""

    code = "DF117"
    text = "the cursor {problem}."

    def advice(self) -> str:
        """Say where cursors come from."""
        return "pass the value of 'next' from the previous page, with the same filter and sort"


class TenantRequiredError(DefinitionError):
    """Records of tenants were asked for without saying of which tenant.

    Attributes:
        everyone: Whether the call stands in a block for all tenants, where it may not.
        call: The method, where it takes the tenant as its `tenant_id`; else None.
    """

    code = "DF119"
    model: str
    everyone: bool = False
    call: str | None = None

    def problem_text(self) -> str:
        """Say which of the two is missing."""
        if self.call is not None:
            named = "all were" if self.everyone else "none was"
            return f"{self.call} is for the records of one tenant, and {named} named."
        if self.everyone:
            return f"this call on {self.model!r} needs one tenant, not all of them."
        return f"tenants share {self.model!r}, and none was set."

    def advice(self) -> str:
        """Say how to set one."""
        if self.call is not None:
            return "give it tenant_id, or call it inside `with db.tenant('…'):`"
        return "call it inside `with db.tenant('…'):`"


class UnscopedStatementError(DefinitionError):
    """A statement of a session could reach records of other tenants."""

    code = "DF120"
    text = "{problem}"

    def advice(self) -> str:
        """Say what can be scoped, and what needs no scope."""
        return "write it with select(), update(), … of the model, or use db.all_tenants()"
