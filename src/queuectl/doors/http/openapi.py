"""The OpenAPI document, made from the table of operations."""

from __future__ import annotations

from ... import __version__, ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...ops import Argument, Operation

PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string"},
        "reason": {"type": "string"},
        "hint": {"type": "string"},
    },
}
JOB: dict[str, Any] = {
    "type": "object",
    "required": ["id", "command", "state", "attempts", "max_retries", "number", "queue", "priority", "created_at", "updated_at"],
    "properties": {
        "id": {"type": "string"},
        "command": {"type": "string"},
        "state": {"type": "string", "enum": ["pending", "processing", "completed", "failed", "dead", "cancelled"]},
        "attempts": {"type": "integer"},
        "max_retries": {"type": "integer"},
        "number": {"type": "integer"},
        "queue": {"type": "string"},
        "priority": {"type": "integer"},
        "created_at": {"type": "string", "format": "date-time"},
        "updated_at": {"type": "string", "format": "date-time"},
    },
}
TYPES = {"bytes": "text/plain", "stream": "text/event-stream"}


def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in ops.OPERATIONS:
        paths.setdefault(ops.BASE + operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "queuectl",
            "version": __version__,
            "description": "Jobs that run later, in order, in parallel, again if they fail, and are never lost.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Job": JOB, "NewJob": _new_job(), "Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _new_job() -> dict[str, Any]:
    return {"type": "object", "properties": ops.JOB_FIELDS, "additionalProperties": False}


def _operation(operation: Operation) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.about,
        "parameters": [_parameter(argument) for argument in operation.arguments if argument.where != "body"],
        "responses": {**_good(operation), "default": {"description": "a problem", "content": problem}},
    }
    if operation.kind == "add":
        found["parameters"].append(IDEMPOTENCY)
    body = _body(operation)
    return {**found, "requestBody": body} if body else found


IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "A repeat within a day is answered as the first time, and adds nothing.",
}


def _parameter(argument: Argument) -> dict[str, Any]:
    found = {"name": argument.name, "in": argument.where, "schema": argument.schema, "description": argument.about}
    return {**found, "required": True} if argument.required else found


def _good(operation: Operation) -> dict[str, Any]:
    if operation.kind in TYPES:
        content: dict[str, Any] = {TYPES[operation.kind]: {"schema": {"type": "string"}}}
        partial = {"206": {"description": "a range", "content": content}} if operation.kind == "bytes" else {}
        return {"200": {"description": "as it was written", "content": content}, **partial}
    good = {"description": "done", "content": {"application/json": {"schema": operation.gives}}}
    if operation.kind == "add":
        array = ops.obj(("added", "ids"), added={"type": "integer"}, ids=ops.MANY_LINES)
        each = ops.obj(("added", "results"), added={"type": "integer"}, results={"type": "array"})
        good = {"description": "added", "content": {"application/json": {"schema": {"anyOf": [ops.JOB, array]}}}}
        good["links"] = _links()
        return {"201": good, "200": {"description": "each told", "content": {"application/json": {"schema": each}}}}
    return {str(operation.status): good}


def _links() -> dict[str, Any]:
    """What can be done with the job that was just added."""
    whose = {"id": "$response.body#/id"}
    followed = [o for o in ops.OPERATIONS if o.path.startswith("/jobs/{id}") and o.kind != "stream"]
    return {operation.name: {"operationId": operation.name, "parameters": whose} for operation in followed}


def _body(operation: Operation) -> dict[str, Any] | None:
    if operation.kind == "add":
        one = {"$ref": "#/components/schemas/NewJob"}
        schema: dict[str, Any] = {"oneOf": [one, {"type": "array", "items": one, "maxItems": ops.ARRAY_MAX}]}
        return {"required": True, "content": {"application/json": {"schema": schema}}}
    fields = [argument for argument in operation.arguments if argument.where == "body"]
    if not fields:
        return None
    required = [argument.name for argument in fields if argument.required]
    schema = {"type": "object", "properties": {f.name: {**f.schema, "description": f.about} for f in fields}}
    schema |= {"additionalProperties": False, **({"required": required} if required else {})}
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}
