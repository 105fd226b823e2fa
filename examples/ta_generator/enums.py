"""The words of the application, and how statuses follow one another."""

from enum import StrEnum


class StatusFlowError(ValueError):
    """A status cannot follow the one before."""


class Status(StrEnum):
    """A status that knows what may follow it: `flow()` of each kind says so."""

    @classmethod
    def flow(cls) -> "dict[Status, tuple[Status, ...]]":
        """Return what may follow each status; a record begins with the first."""
        raise NotImplementedError

    @classmethod
    def check(cls, before: "Status | None", after: "Status") -> None:
        """Refuse a status that does not follow.

        Raises:
            StatusFlowError: Naming what may follow.
        """
        flow = cls.flow()
        allowed = (next(iter(flow)),) if before is None else flow.get(before, ())
        if after not in allowed:
            follows = " or ".join(allowed) or "nothing"
            raise StatusFlowError(f"{cls.__name__} {before}: {follows} follows, not {after}")


class RequestStatus(Status):
    NEW = "NEW"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    GENERATING_TA = "GENERATING_TA"
    VALIDATING = "VALIDATING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @classmethod
    def flow(cls) -> dict[Status, tuple[Status, ...]]:
        return {
            cls.NEW: (cls.PENDING_APPROVAL,),
            cls.PENDING_APPROVAL: (cls.APPROVED, cls.REJECTED),
            cls.APPROVED: (cls.GENERATING_TA,),
            cls.GENERATING_TA: (cls.VALIDATING, cls.FAILED),
            cls.VALIDATING: (cls.COMPLETED, cls.FAILED),
        }


class ValidationStatus(Status):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PASSED = "PASSED"
    FAILED = "FAILED"

    @classmethod
    def flow(cls) -> dict[Status, tuple[Status, ...]]:
        return {cls.QUEUED: (cls.RUNNING,), cls.RUNNING: (cls.PASSED, cls.FAILED)}


class TARevisionType(StrEnum):
    AUTO = "AUTO"
    MANUAL = "MANUAL"


class UserRoleEnum(StrEnum):
    REQUESTOR = "REQUESTOR"
    APPROVER = "APPROVER"
    ADMIN = "ADMIN"
    KNOWLEDGE_MANAGER = "KNOWLEDGE_MANAGER"


class AuditAction(StrEnum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    APPROVE = "APPROVE"
    REJECT = "REJECT"
    DOWNLOAD = "DOWNLOAD"
    UPLOAD = "UPLOAD"
    LOGIN = "LOGIN"
    LOGOUT = "LOGOUT"


class DocumentType(StrEnum):
    PDF = "pdf"
    MARKDOWN = "markdown"
    HTML = "html"
    TEXT = "text"
