"""The documents that the API answers with, and the links in them."""

from typing import Literal, Self
from urllib.parse import urlencode

from pydantic import BaseModel, Field

from api.intake import way_out, weights_state
from api.problems import problem_type
from dream_core.catalogue import Catalogue
from dream_core.model import PICTURE, Model
from jobs.record import Frame, Job, Problem, Status


class Links(BaseModel):
    """Where a job's pictures are."""

    self: str
    events: str | None = Field(description="null: this version tells no events")
    frames: str
    source: str
    result: str | None = Field(description="null until the dream has succeeded")


class JobProblem(Problem):
    """Why a dream failed, as a problem of this API's is told."""

    type: str = Field(description="address of a page about problems of this code")


class JobDocument(Job):
    """A dream as it stands. Nothing is left out; null is what isn't known yet."""

    problem: JobProblem | None
    links: Links

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the document of a job."""
        here = f"/dreams/{job.id}"
        links = Links(
            self=here,
            events=None,
            frames=f"{here}/frames",
            source=f"{here}/source",
            result=f"{here}/result" if job.status is Status.SUCCEEDED else None,
        )
        told = {name: getattr(job, name) for name in Job.model_fields}
        if job.problem:
            type_ = problem_type(job.problem.code)
            told["problem"] = JobProblem(**job.problem.model_dump(), type=type_)
        return cls(**told, links=links)


class DreamList(BaseModel):
    """Dreams, newest first."""

    dreams: list[JobDocument]
    next: str | None = Field(description="address of the older ones; null at the end")

    @classmethod
    def of(
        cls, jobs: list[Job], limit: int, before: str | None, status: Status | None = None
    ) -> Self:
        """Return one page of the list."""
        asked = {"limit": limit, "before": before} | ({"status": status.value} if status else {})
        following = before and f"/dreams?{urlencode(asked)}"
        return cls(dreams=[JobDocument.of(job) for job in jobs], next=following)


class FrameDocument(BaseModel):
    """One picture of a dream, numbered by iteration; 0 is the source as the engine sees it."""

    iteration: int
    url: str
    width: int
    height: int
    bytes: int


class FrameList(BaseModel):
    """Frames, ascending."""

    frames: list[FrameDocument]
    next: str | None = Field(description="address of the later ones; null at the end, for now")

    @classmethod
    def of(cls, id: str, frames: list[Frame], limit: int, after: int | None) -> Self:  # noqa: A002
        """Return one page of the list."""
        here = f"/dreams/{id}/frames"
        return cls(
            frames=[
                FrameDocument(**frame.model_dump(), url=f"{here}/{frame.iteration}")
                for frame in frames
            ],
            next=None if after is None else f"{here}?{urlencode({'limit': limit, 'after': after})}",
        )


class WeightsDocument(BaseModel):
    """Whether a model can dream at once."""

    state: Literal["present", "pullable", "missing"] = Field(
        description="pullable: fetched before its first dream; missing: bring a file"
    )
    way_out: str | None = Field(description="how they come here, where they are not")
    download_bytes: int | None
    license: str | None
    attribution: str | None
    source: str = Field(description="where they come from")


class ModelDocument(BaseModel):
    """A network that can dream."""

    name: str
    title: str
    default_layer: str = Field(description="dreamed at where a dream names no layer")
    default_dose: float = Field(description="of a layer that is named without one")
    content_layer: str = Field(description="held where a dream gives only content_weight")
    weights: WeightsDocument
    links: dict[str, str]

    @classmethod
    def of(cls, model: Model, catalogue: Catalogue) -> Self:
        """Return the document of a model."""
        state, origin = weights_state(model, catalogue), model.origin
        return cls(
            name=model.name,
            title=model.title,
            default_layer=model.default_layer,
            default_dose=model.default_dose,
            content_layer=model.content_layer,
            weights=WeightsDocument(
                state=state,
                way_out=None if state == "present" else way_out(model),
                download_bytes=origin.download_bytes or None,
                license=origin.license or None,
                attribution=origin.attribution or None,
                source=f"{origin.kind} {origin.name} {origin.version}".strip(),
            ),
            links={"self": f"/models/{model.name}", "layers": f"/models/{model.name}/layers"},
        )


class ModelList(BaseModel):
    """Every model that a dream can ask for."""

    models: list[ModelDocument]


class LayerDocument(BaseModel):
    """A layer that a dream can ask for."""

    name: str
    kind: str
    channels: int
    stride: int = Field(description="pixels of the picture from one position to the next")


class LayerList(BaseModel):
    """Every layer of a model, in network order."""

    model: str
    layers: list[LayerDocument]

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return the layers of a model."""
        strides = _strides(model)
        return cls(
            model=model.name,
            layers=[
                LayerDocument(
                    name=layer.name,
                    kind=layer.kind,
                    channels=layer.channels,
                    stride=strides[layer.name],
                )
                for layer in model.layers
            ],
        )


def _strides(model: Model) -> dict[str, int]:
    strides = {PICTURE: 1}
    for layer in model.layers:
        before = max(strides[name] for name in layer.inputs)
        strides[layer.name] = before * max(layer.stride)
    return strides
