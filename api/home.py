"""Pages: what this is, the API's documentation, what a problem means; nothing from elsewhere."""

from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel

from api.dependencies import SettingsDep
from api.openapi import Responses, problems
from api.problems import ProblemKind, kinds
from dream_core.version import UNKNOWN

router = APIRouter(tags=["service"])
OURS: Final = Path(__file__).parent / "static"
SWAGGER_UI: Final = Path(str(resources.files("fastapi_swagger.resources")))
# The only files that are served, by name: no path of a request ever touches the disk.
ASSETS: Final = {
    "page.css": (OURS / "page.css", "text/css"),
    "docs.css": (OURS / "docs.css", "text/css"),
    "docs.js": (OURS / "docs.js", "text/javascript"),
    "icon.svg": (OURS / "icon.svg", "image/svg+xml"),
    "swagger-ui.css": (SWAGGER_UI / "swagger-ui.css", "text/css"),
    "swagger-ui.js": (SWAGGER_UI / "swagger-ui-bundle.js", "text/javascript"),
}


class Home(BaseModel):
    """What this is and where to go."""

    name: str = "torch-inception"
    version: str
    description: str
    links: dict[str, str]


PAGE: Final[Responses] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
WITH_KEY: Final = escape('-H "Authorization: Bearer $DREAM_API_KEY" ')
LINKS: Final = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "dreams": "/dreams",
    "queue": "/queue",
    "models": "/models",
    "ready": "/readyz",
    "metrics": "/metrics",
}


@router.get(
    "/",
    response_model=Home,
    responses={**PAGE, **problems()},
)
def home(request: Request, settings: SettingsDep) -> Response:
    """Say what this is: a page to browsers, a document to programs."""
    about = Home(version=request.app.version, description=request.app.summary, links=LINKS)
    if "text/html" in request.headers.get("accept", ""):
        page = Template((OURS / "home.html").read_text("utf-8"))
        base = escape(str(request.base_url).rstrip("/"))
        shown = "" if about.version == UNKNOWN else about.version
        key = WITH_KEY if settings.has_key else ""
        answer: Response = HTMLResponse(page.substitute(base=base, version=shown, key=key))
    else:
        answer = Response(about.model_dump_json(), media_type="application/json")
    answer.headers["Vary"] = "Accept"
    return answer


@router.get("/docs", include_in_schema=False)
def docs() -> FileResponse:
    """Return the API's documentation: Swagger UI, on the document of /openapi.json."""
    return FileResponse(OURS / "docs.html", media_type="text/html")


@router.get("/static/{name}", include_in_schema=False)
def asset(name: str) -> FileResponse:
    """Return a file that the pages need."""
    if name not in ASSETS:
        raise HTTPException(404)
    path, media_type = ASSETS[name]
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": "no-cache"})


@router.get("/problems/{code}", responses=problems())
def problem(code: str) -> ProblemKind:
    """Tell what a problem of that code means: the page behind a problem's `type`."""
    found = kinds().get(code)
    if found is None:
        raise HTTPException(404)
    return found
