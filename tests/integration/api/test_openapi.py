"""The OpenAPI document is complete, and importing the application is cheap."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from fastapi.testclient import TestClient

METHODS = {"get", "put", "post", "patch", "delete"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation with its name."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield f"{method.upper()} {path}", operation


def test_every_error_is_described_with_an_example(client: TestClient) -> None:
    """Every operation lists its errors as problem documents, or OpenAI's object, each with an example."""
    document = client.get("/openapi.json").json()
    for name, operation in operations(document):
        errors = {status: reply for status, reply in operation["responses"].items() if status >= "400"}
        assert "500" in errors, name
        guarded = "/v1" in name or name == "GET /metrics"
        assert ({"401", "403", "429"} & set(errors)) == ({"401", "403", "429"} if guarded else set()), name
        for status, reply in errors.items():
            assert reply["description"], (name, status)
            for media_type, content in reply["content"].items():
                assert media_type in {"application/problem+json", "application/json"}, (name, status)
                assert content["examples"], (name, status)
                assert content["schema"]["$ref"].endswith(("/Problem", "/OpenAIError")), (name, status)


def test_every_field_and_parameter_is_described(client: TestClient) -> None:
    """Schemas, their fields, parameters and operations all have a description."""
    document = client.get("/openapi.json").json()
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, about in schema.get("properties", {}).items():
            # A field whose description is that of its own schema has it there alone.
            assert about.get("description") or "$ref" in about, f"{name}.{field}"
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])


def test_every_field_has_an_example(client: TestClient) -> None:
    """Unless its type or its default tells what may stand there, or another schema's examples do."""
    document = client.get("/openapi.json").json()
    for name, schema in document["components"]["schemas"].items():
        for field, about in schema.get("properties", {}).items():
            told = "examples" in about or about.get("default") is not None
            assert told or all(map(speaks_for_itself, about.get("anyOf", [about]))), f"{name}.{field}"


def speaks_for_itself(schema: dict[str, Any]) -> bool:
    """Whether a schema has few values, or the fields of another one."""
    if schema.get("type") == "array":
        return speaks_for_itself(schema["items"])
    return bool({"$ref", "const", "enum"} & set(schema)) or schema.get("type") in {"boolean", "null"}


def test_references_lead_somewhere(client: TestClient) -> None:
    """Each `$ref` names a schema that is there."""
    response = client.get("/openapi.json")
    schemas = response.json()["components"]["schemas"]
    names = {part.split('"')[0] for part in response.text.split("#/components/schemas/")[1:]}
    assert names <= set(schemas)
    assert {"Problem", "Filter", "OpenAIError"} <= names


def test_importing_the_application_is_cheap() -> None:
    """Neither torch nor DBOS is imported with it; they come with the models, in the background."""
    code = "import sys, rag_service.app; print({'torch', 'transformers', 'dbos'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
