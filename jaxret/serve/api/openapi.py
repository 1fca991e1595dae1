"""The description of the API, as OpenAPI has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jaxret
from jaxret.serve.api.endpoint import Endpoint
from jaxret.serve.api.typed import schema_of

__all__ = ["describe_api"]


def describe_api(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The description, made of the classes that requests are checked by.

    Args:
      endpoints: all of them.
    """
    known: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, known)
    known["Error"] = {
        "type": "object",
        "properties": {"error": {"type": "string"}, "field": {"type": "string"}},
        "required": ["error"],
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "jaxret serve", "version": jaxret.__version__},
        "paths": paths,
        "components": {"schemas": known},
    }


def _operation(endpoint: Endpoint, known: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string"}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    if endpoint.parameters is not None:
        own: dict[str, Any] = {}
        schema_of(endpoint.parameters, own)
        described = own[endpoint.parameters.__name__]
        required = described.get("required", [])
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in described["properties"].items()
        ]
    content: dict[str, Any] = {}
    if endpoint.media_type is not None:
        content = {endpoint.media_type: {"schema": {**text, "format": "binary"}}}
    elif endpoint.answer is list:
        content = {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}}
    elif endpoint.answer is not None:
        content = {"application/json": {"schema": schema_of(endpoint.answer, known)}}
    answer: dict[str, Any] = {"description": "as wanted"}
    if content:
        answer["content"] = content
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.handle.__qualname__.replace(".<locals>", "") + re.sub(r"\W+", "_", endpoint.path),
        "parameters": parameters,
        "responses": {str(endpoint.status): answer, "4XX": {"description": "what is wrong", "content": error}},
    }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of(endpoint.body, known)}},
        }
    return operation
