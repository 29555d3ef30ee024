"""Prints docs/reference/http.md, made from the code: `python -P -m api.reference`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any, Final

from fastapi import FastAPI

from api.app import create_app
from api.form import MEDIA_TYPE, PICTURE, URLENCODED
from api.intake import SPEC
from api.problems import kinds
from jobs.settings import Settings

PAGE: Final = Path(__file__).parent / "reference.md"


def main() -> None:
    """Print the page."""
    sys.stdout.write(page(create_app(Settings())))


def page(app: FastAPI) -> str:
    """Return the reference of the HTTP face: calls, form, documents, problems."""
    document = app.openapi()
    return Template(PAGE.read_text("utf-8")).substitute(
        calls="\n".join(_calls(document)),
        form="\n".join(_form(document)),
        problems="\n".join(_problems()),
    )


def _calls(document: dict[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"### {method.upper()} {path}\n\n{operation['summary']}.\n"
            if "description" in operation:
                yield f"{operation['description']}\n"
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    values = _limits(_resolved(parameter["schema"], document))
                    yield f"- `?{parameter['name']}=`: {values}; {parameter['description']}"
            yield from _fields(operation)
            for status, response in operation["responses"].items():
                if status not in ("default", "401"):  # said once, for all
                    yield f"- {status}: {response['description']}"
            yield ""


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return what a query parameter takes: null is to leave it out, a reference what it is to."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    name = kinds[0].get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else kinds[0]
    return found


def _fields(operation: dict[str, Any]) -> Iterator[str]:
    """Give the fields of a small form; that of POST /dreams has a table of its own."""
    content = operation.get("requestBody", {}).get("content", {})
    if URLENCODED in content:
        schema = content[URLENCODED]["schema"]
        for name, field in schema["properties"].items():
            need = "required" if name in schema.get("required", []) else "optional"
            yield f"- field `{name}`, {need}: {_limits(field)}; {field['description']}"


def _form(document: dict[str, Any]) -> Iterator[str]:
    body = document["paths"]["/dreams"]["post"]["requestBody"]["content"][MEDIA_TYPE]
    for name, field in body["schema"]["properties"].items():
        values = {PICTURE: "file", SPEC: "JSON"}.get(name) or _limits(field)
        yield f"| `{name}` | {values} | {_default(field)} | {field['description']} |"


def _default(field: dict[str, Any]) -> str:
    return f"`{str(field['default']).lower()}`" if field.get("default") not in (None, "") else ""


def _limits(schema: dict[str, Any]) -> str:
    """Return which values a schema takes, in words."""
    if "anyOf" in schema:
        return " or ".join(_limits(inner) for inner in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    words = [str(schema["type"])]
    for key, word in (("exclusiveMinimum", "above"), ("minimum", "from"), ("maximum", "to")):
        if key in schema:
            words.append(f"{word} {schema[key]:,.0f}")
    return " ".join(words)


def _problems() -> Iterator[str]:
    for kind in kinds().values():
        yield f"| `{kind.code}` | {kind.status} | {kind.title} | {kind.meaning} |"


if __name__ == "__main__":
    main()
