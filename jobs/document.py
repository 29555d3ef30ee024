"""Between the record's hash in Redis and the document that everyone reads."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from jobs.presence import Presence
from jobs.record import (
    VERSION,
    Frame,
    Frames,
    Job,
    Order,
    Problem,
    Progress,
    Queue,
    Run,
    Source,
    Status,
)
from jobs.waiting import waits_for


def fields(order: Order) -> list[str | int]:
    """Return an order as names and values of the record's hash."""
    assert order.source is not None  # noqa: S101 (the store has just filled it in)
    values: dict[str, str | int] = {
        "version": VERSION,
        "owner": order.owner,
        "parent": order.parent or "",
        "begins_at": order.begins_at,
        "request": order.request or "",
        "spec": json.dumps(order.spec),
        "source": order.source.model_dump_json(),
        "created_at": milliseconds(order.created_at),
        "expires_at": milliseconds(order.expires_at),
    }
    return [part for pair in values.items() for part in pair]


def job(told: Any, up: Sequence[Presence]) -> Job:
    """Return one answer of the `read` script as the document; `up` are the workers there are."""
    job_id, flat, place, count, latest, paused = told
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    told_run = fields.get("run")
    run = Run.model_validate_json(told_run) if told_run else None
    spec = _resolved(json.loads(fields["spec"]), run)
    position = None if place is None else place + 1
    status, progress = Status(fields["status"]), _progress(fields, spec["iterations"])
    problem = fields.get("problem")
    return Job(
        id=job_id,
        status=status,
        seq=int(fields["seq"]),
        parent=fields["parent"] or None,
        spec=spec,
        source=Source.model_validate_json(fields["source"]),
        run=run,
        progress=progress
        if status is Status.RUNNING
        else progress.model_copy(update={"eta_s": None}),
        queue=Queue(
            position=position,
            waits_for=None if position is None else waits_for(position, up, paused=bool(paused)),
        ),
        attempt=int(fields["attempt"]),
        frames=Frames(count=count, latest=None if latest is None else int(latest)),
        created_at=_known(moment(fields["created_at"])),
        started_at=moment(fields.get("started_at")),
        finished_at=moment(fields.get("finished_at")),
        expires_at=moment(fields["expires_at"]),
        problem=Problem.model_validate_json(problem) if problem else None,
    )


def _progress(fields: Mapping[str, str], iterations: int) -> Progress:
    """Return the last that was told of a dream; of one that never ran, where it begins."""
    told = fields.get("progress")
    if told:
        return Progress.model_validate_json(told)
    return Progress.at(int(fields.get("begins_at") or 0), iterations)


def known(told: Any) -> bool:
    """Whether an answer of the `newest` script is of this release; the first had no version."""
    fields = dict(zip(told[1][::2], told[1][1::2], strict=True))
    return int(fields.get("version", VERSION)) == VERSION


def _resolved(spec: dict[str, Any], run: Run | None) -> dict[str, Any]:
    """Return the spec with the precision that runs: `auto` is settled when the dream starts.

    A spec of the time before there was a choice was, and is, run exactly.
    """
    precision = spec.get("precision", "exact")
    if precision == "auto" and run is not None:
        precision = run.plan.get("precision", "exact")
    return {**spec, "precision": precision}


def frame(told: str) -> tuple[Frame, str]:
    """Return a frame and the fence under which it was written."""
    fields = json.loads(told)
    fence = cast(str, fields.pop("fence"))
    return Frame(**fields), fence


def milliseconds(moment: datetime | None) -> str:
    """Return a time as the record's hash has it; empty where there is none."""
    return str(round(moment.timestamp() * 1000)) if moment else ""


def moment(milliseconds: str | None) -> datetime | None:
    """Return a time of the record's hash; None where there is none."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


def _known(moment: datetime | None) -> datetime:
    assert moment is not None  # noqa: S101 (every record has it)
    return moment
