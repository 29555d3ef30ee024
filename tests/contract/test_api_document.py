"""/openapi.json: the form is DreamSpec, errors are described, references lead somewhere."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api.app import create_app
from dream_core.flat import flat_names
from dream_core.spec import DreamSpec, field_names
from jobs.settings import Settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document, as it is sent."""
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))
    return json.loads(json.dumps(app.openapi()))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def form(document: dict[str, Any]) -> dict[str, Any]:
    """The schema of what is posted."""
    body = document["paths"]["/dreams"]["post"]["requestBody"]["content"]
    return body["multipart/form-data"]["schema"]  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every address, method and what is said of them."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside the document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner)


def test_the_form_is_the_spec_and_what_goes_with_it(form: dict[str, Any]) -> None:
    """A new field of DreamSpec is in the form, in /docs and in the CLI on the same day."""
    assert set(form["properties"]) == {
        *field_names(),
        *("dose", "spec", "image", "timeout_s", "queue"),
    }
    assert set(flat_names()) == {*field_names(), "dose"}
    assert form["required"] == ["image"]
    assert form["additionalProperties"] is False


def test_the_form_has_the_limits_and_defaults_of_the_spec(form: dict[str, Any]) -> None:
    """Each once, in DreamSpec; here they are only shown."""
    for name, field in DreamSpec.model_json_schema()["properties"].items():
        shown = form["properties"][name]
        assert shown["description"]
        if name not in ("layers", "content_layers"):
            assert {**shown, "title": field["title"]} == field


def test_every_error_of_an_address_is_described_as_a_problem(document: dict[str, Any]) -> None:
    """Whatever status: one media type, one schema, and a default for the rest."""
    for path, method, operation in operations(document):
        errors = {
            status: response
            for status, response in operation["responses"].items()
            if status == "default" or int(status) >= 400
        }
        assert {"422", "default"} <= set(errors), (path, method)
        for response in errors.values():
            (media_type,) = response["content"]
            assert media_type == "application/problem+json"
            schema = response["content"][media_type]["schema"]
            assert schema == {"$ref": "#/components/schemas/ProblemDocument"}


def test_what_says_come_again_says_when(document: dict[str, Any]) -> None:
    """Retry-After is described wherever a 503 is ours to wait for."""
    described = document["paths"]["/dreams"]["post"]["responses"]["503"]

    assert "Retry-After" in described["headers"]


def test_every_operation_has_a_name_and_a_sentence(document: dict[str, Any]) -> None:
    """Names are those of our functions, so generated clients read well."""
    names = [operation["operationId"] for _, _, operation in operations(document)]

    assert "create_dream" in names
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for _, _, operation in operations(document))


def test_every_schema_is_one_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """What a generator of clients reads first."""
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    references = {part["$ref"] for part in parts(document) if isinstance(part.get("$ref"), str)}

    assert references
    assert {reference.rpartition("/")[2] for reference in references} <= set(schemas)
    assert "HTTPValidationError" not in json.dumps(document)


def test_nothing_in_the_document_is_a_path_of_this_machine(document: dict[str, Any]) -> None:
    """Defaults of a host's own must not leak into what everyone reads."""
    assert str(Path.home()) not in json.dumps(document)
