"""What /openapi.json says that FastAPI can't read off the routes: form, pictures, problems."""

from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import problems as problems_
from api.door import asks_key
from api.errors import (
    MalformedForm,
    Unauthorized,
    UnknownParameter,
    UnsupportedMediaType,
    UploadStalled,
)
from api.form import MEDIA_TYPE as FORM
from api.form import PICTURE, URLENCODED
from api.intake import SPEC
from api.terms import Nothing, SizedTerms, Terms
from dream_core.errors import DreamError, InvalidSpec, UnknownField, Wait
from dream_core.flat import DOSE, DOSE_HELP, flat_names
from dream_core.spec import LARGEST_DOSE, DreamSpec

Responses = dict[int | str, dict[str, Any]]
REF: Final = "#/components/schemas/{model}"
ABOUT: Final = """Post a picture, say at which layers of a network to dream, watch frames appear.

A dream is posted as a form: the picture in `image`, and what to dream either as flat fields
(`layers=relu4_1,relu5_1`, `dose=1000`, `iterations=30`, …) or as one JSON object in `spec`.
The answer comes at once and holds the job; its `links` say where its frames are.

Every error is a problem (RFC 9457, `application/problem+json`) with a stable `code`.
"""
KEY: Final = "key"  # its name in the document
SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "the key of the service (DREAM_API_KEY), where it has one: it has to where "
    "other machines can reach it",
}
TAGS: Final = [
    {
        "name": "dreams",
        "description": "what one would cost; post one, find it again, look at its pictures, "
        "stop it, go on with it",
    },
    {"name": "queue", "description": "what waits and runs; a pause for maintenance"},
    {"name": "models", "description": "which networks can dream, and at which layers"},
    {"name": "service", "description": "what this is and how it is"},
]
PICTURE_TYPES: Final = (
    "image/png, image/jpeg, image/webp, image/gif, image/tiff, image/bmp, image/avif"
)
# Fields whose flat form is another text than their JSON: help, and what /docs fills in.
_LISTS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "layers": (
        "layers to dream at, with commas between, each with a dose of its own (`relu5_1=1000`) or "
        "with that of `dose`. 1 keeps the picture as it is, 0 and less unmake the texture, 1000 is "
        "strong. Default: relu5_1, or the model's own",
        {"examples": ["relu5_1", "relu4_1,relu5_1", "relu5_1=1000,relu2_1=-5"]},
    ),
    "content_layers": (
        "layers whose features are held, with commas between; relu4_2, or the model's own, where "
        "only content_weight is given",
        {"default": ""},
    ),
}


# What a call can end in that takes fields, or none and is sent some.
FORM_ERRORS: Final = (
    InvalidSpec,
    UnknownField,
    MalformedForm,
    UnsupportedMediaType,
    UploadStalled,
)


def problems(*errors: type[DreamError]) -> Responses:
    """Return the responses of a route that can end in these errors, by status."""
    codes: dict[int, dict[str, type[DreamError]]] = defaultdict(dict)
    error: type[DreamError]
    for error in (*errors, UnknownParameter):
        codes[problems_.status_of(error)][error.code] = error
    found: Responses = {
        status: _problem(
            "; ".join(f"`{code}`: {error.title}" for code, error in by_code.items()),
            retry=any(issubclass(error, Wait) for error in by_code.values()),
        )
        for status, by_code in sorted(codes.items())
    }
    return found | {"default": _problem("`internal`, and anything else that goes wrong")}


def _problem(description: str, retry: bool = False) -> dict[str, Any]:
    schema = {"$ref": REF.format(model=problems_.ProblemDocument.__name__)}
    response: dict[str, Any] = {
        "description": description,
        "content": {problems_.MEDIA_TYPE: {"schema": schema}},
    }
    if retry:
        response["headers"] = {
            "Retry-After": {"description": "seconds", "schema": {"type": "integer"}}
        }
    return response


def _needs_key() -> dict[str, Any]:
    """Return the response of whatever is closed without the key."""
    response = _problem(f"`{Unauthorized.code}`: {Unauthorized.title}")
    header = {"description": "Bearer", "schema": {"type": "string"}}
    return response | {"headers": {"WWW-Authenticate": header}}


LOCATION: Final = {
    "Location": {"description": "address of the dream", "schema": {"type": "string"}}
}
_BYTES: Final = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
PNG: Final[Responses] = {
    200: {
        "description": "The picture. It never changes: keep it.",
        "content": _BYTES,
        "headers": {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in (
                ("ETag", "strong; If-None-Match is answered with 304"),
                ("Cache-Control", "private, immutable"),
            )
        },
    },
    206: {"description": "The part that Range asks for.", "content": _BYTES},
    304: {"description": "The picture that If-None-Match names is still the one."},
}


def _flat_field(name: str) -> dict[str, Any]:
    """Return the schema of a field as the form has it: from DreamSpec, its lists as text."""
    if name == DOSE:
        return {
            "type": "number",
            "minimum": -LARGEST_DOSE,
            "maximum": LARGEST_DOSE,
            "examples": [1000],
            "description": DOSE_HELP,
        }
    if name in _LISTS:
        description, more = _LISTS[name]
        return {"type": "string", "description": description, **more}
    schema: dict[str, Any] = DreamSpec.model_json_schema()["properties"][name]
    return {key: value for key, value in schema.items() if key != "title"}


def _plain_fields(kind: type[Nothing]) -> dict[str, Any]:
    """Return the schemas of fields that are posted beside a spec, or without one."""
    properties: dict[str, dict[str, Any]] = kind.model_json_schema().get("properties", {})
    return {
        name: {key: value for key, value in schema.items() if key != "title"}
        for name, schema in properties.items()
    }


def fields_of(kind: type[Nothing]) -> dict[str, Any]:
    """Return the body of a call that takes these fields, as a form of either kind."""
    required = kind.model_json_schema().get("required", [])
    schema = {
        "type": "object",
        "properties": _plain_fields(kind),
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }
    content = {media_type: {"schema": schema} for media_type in (FORM, URLENCODED)}
    return {"requestBody": {"required": bool(required), "content": content}}


def _form(terms: type[Terms], *required: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        PICTURE: {
            "type": "string",
            "format": "binary",
            "description": "the picture: PNG, JPEG, WebP, GIF, TIFF, BMP or AVIF",
        },
        **{name: _flat_field(name) for name in flat_names()},
        **_plain_fields(terms),
        SPEC: {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": REF.format(model=DreamSpec.__name__)},
            "description": "all of it as one JSON object, in place of the flat fields",
        },
    }
    return {
        "type": "object",
        "required": list(required),
        "properties": fields,
        "additionalProperties": False,
    }


def _posted(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": schema, "encoding": {PICTURE: {"contentType": PICTURE_TYPES}}}
    return {"requestBody": {"required": True, "content": {FORM: content}}}


DREAM_FORM: Final = _posted(_form(Terms, PICTURE))
ESTIMATE_FORM: Final = _posted(_form(SizedTerms))


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=ABOUT,
            routes=app.routes,
            tags=TAGS,
        )
        schemas = document["components"]["schemas"]
        _tell_of_key(document, asked=app.state.room.settings.has_key)
        for operation in (op for path in document["paths"].values() for op in path.values()):
            first, _, rest = operation.pop("description").partition("\n\n")
            operation["summary"] = first.rstrip(".")
            if rest:
                operation["description"] = " ".join(rest.split())
            for status, response in operation["responses"].items():
                if status == str(int(HTTPStatus.ACCEPTED)):
                    response["headers"] = LOCATION
                answer = response.get("content", {}).get("application/json")
                if answer and "$ref" in answer["schema"]:
                    name = answer["schema"]["$ref"].rpartition("/")[2]
                    response["description"] = schemas[name]["description"]
        for model in (problems_.ProblemDocument, DreamSpec):
            schema = model.model_json_schema(ref_template=REF)
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        app.openapi_schema = document
    return app.openapi_schema


def _tell_of_key(document: dict[str, Any], *, asked: bool) -> None:
    """Say of every operation whether it asks for the key; where there is none, no one must."""
    document["components"]["securitySchemes"] = {KEY: SCHEME}
    document["security"] = [{KEY: []}] if asked else [{}, {KEY: []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if asks_key(path):
                operation["responses"]["401"] = _needs_key()
            else:
                operation["security"] = []
