"""The table of what can be asked of a queue from afar: name, method, path, arguments, verb.

The routes of the API, its OpenAPI document, docs/api.md and the Python client are all made from `OPERATIONS`.
"""

from __future__ import annotations

from .asked import ARRAY_MAX, BASE, JOB, JOB_FIELDS, MANY_LINES, Argument, Operation, checked, obj
from .of_jobs import OF_JOBS
from .of_the_rest import OF_THE_REST

OPERATIONS: tuple[Operation, ...] = (*OF_JOBS, *OF_THE_REST)
BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}

__all__ = [
    "ARRAY_MAX",
    "BASE",
    "BY_NAME",
    "JOB",
    "JOB_FIELDS",
    "MANY_LINES",
    "OPERATIONS",
    "Argument",
    "Operation",
    "checked",
    "obj",
]
