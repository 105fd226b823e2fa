"""Every error that DataFlow raises, in one tree.

```
DataFlowError
├── DefinitionError            fix the code
│   ├── UnknownNodeError           DF101   AmbiguousNodeError         DF102
│   ├── ParameterError             DF103   WorkflowDefinitionError    DF104
│   ├── AnnotationError            DF105   DuplicateModelError        DF106
│   ├── UnknownModelError          DF107   UnknownFieldError          DF108
│   ├── FilterError                DF109   UnfilteredWriteError       DF110
│   ├── ConfigurationError         DF111   MissingExtraError          DF112
│   ├── IdentifierError            DF113   OptionError                DF114
│   ├── LoopError                  DF115   DuplicateNodeError         DF116
│   ├── CursorError                DF117   DataLossError              DF118
│   ├── TenantRequiredError        DF119   UnscopedStatementError     DF120
│   └── MigrationError             DF121
├── DatabaseError              handle the data
│   ├── RecordValidationError      DF201   UniqueViolationError       DF202
│   ├── ForeignKeyViolationError   DF203   NotNullViolationError      DF204
│   ├── CheckViolationError        DF205   RecordNotFoundError        DF206
│   ├── MultipleRecordsError       DF207   StaleRecordError           DF208
│   ├── SchemaDriftError           DF209   DataValueError             DF210
│   ├── AppendOnlyError            DF211   StatementError             DF212
│   └── TransactionAbortedError    DF213   StoredValueError           DF223
└── ExecutionError             retry or report
    ├── PoolExhaustedError         DF214   ConnectionLostError        DF215
    ├── StatementTimeoutError      DF216   SerializationFailureError  DF217
    ├── DeadlockError              DF218   DatabaseBusyError          DF219
    ├── CannotConnectError         DF220   DatabaseClosedError        DF221
    ├── TransactionClosedError     DF222   CircuitOpenError           DF226
    ├── DeadlineExceededError      DF227   CleanupFailedError         DF228
    ├── NodeTimeoutError           DF301   UnresolvedReferenceError   DF302
    ├── WorkflowFailedError        DF303   NodeOutputError            DF304
```

An error takes facts as keyword arguments, keeps them as attributes and builds
its own text: what is wrong, where, and what to do. `code` never changes;
`retryable` says whether the same call may succeed later; `outcome` tells for a
write whether it was `"not_applied"` or is `"unknown"`.
"""

from dataflow.errors.base import (
    DatabaseError,
    DataFlowError,
    DefinitionError,
    ExecutionError,
    did_you_mean,
    shown,
)
from dataflow.errors.database import (
    AppendOnlyError,
    CheckViolationError,
    DataValueError,
    ForeignKeyViolationError,
    MultipleRecordsError,
    NotNullViolationError,
    RecordNotFoundError,
    RecordValidationError,
    SchemaDriftError,
    StaleRecordError,
    StatementError,
    StoredValueError,
    TransactionAbortedError,
    UniqueViolationError,
)
from dataflow.errors.definition import (
    AmbiguousNodeError,
    AnnotationError,
    ConfigurationError,
    CursorError,
    DataLossError,
    DuplicateModelError,
    DuplicateNodeError,
    FilterError,
    IdentifierError,
    LoopError,
    MigrationError,
    MissingExtraError,
    OptionError,
    ParameterError,
    TenantRequiredError,
    UnfilteredWriteError,
    UnknownFieldError,
    UnknownModelError,
    UnknownNodeError,
    UnscopedStatementError,
    WorkflowDefinitionError,
)
from dataflow.errors.execution import (
    CannotConnectError,
    CircuitOpenError,
    CleanupFailedError,
    ConnectionLostError,
    DatabaseBusyError,
    DatabaseClosedError,
    DeadlineExceededError,
    DeadlockError,
    NodeOutputError,
    NodeTimeoutError,
    PoolExhaustedError,
    SerializationFailureError,
    StatementTimeoutError,
    TransactionClosedError,
    UnresolvedReferenceError,
    WorkflowFailedError,
)

__all__ = [
    "AmbiguousNodeError",
    "AnnotationError",
    "AppendOnlyError",
    "CannotConnectError",
    "CheckViolationError",
    "CircuitOpenError",
    "CleanupFailedError",
    "ConfigurationError",
    "ConnectionLostError",
    "CursorError",
    "DataFlowError",
    "DataLossError",
    "DataValueError",
    "DatabaseBusyError",
    "DatabaseClosedError",
    "DatabaseError",
    "DeadlineExceededError",
    "DeadlockError",
    "DefinitionError",
    "DuplicateModelError",
    "DuplicateNodeError",
    "ExecutionError",
    "FilterError",
    "ForeignKeyViolationError",
    "IdentifierError",
    "LoopError",
    "MigrationError",
    "MissingExtraError",
    "MultipleRecordsError",
    "NodeOutputError",
    "NodeTimeoutError",
    "NotNullViolationError",
    "OptionError",
    "ParameterError",
    "PoolExhaustedError",
    "RecordNotFoundError",
    "RecordValidationError",
    "SchemaDriftError",
    "SerializationFailureError",
    "StaleRecordError",
    "StatementError",
    "StatementTimeoutError",
    "StoredValueError",
    "TenantRequiredError",
    "TransactionAbortedError",
    "TransactionClosedError",
    "UnfilteredWriteError",
    "UniqueViolationError",
    "UnknownFieldError",
    "UnknownModelError",
    "UnknownNodeError",
    "UnresolvedReferenceError",
    "UnscopedStatementError",
    "WorkflowDefinitionError",
    "WorkflowFailedError",
    "did_you_mean",
    "shown",
]
