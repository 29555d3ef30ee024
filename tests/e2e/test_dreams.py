"""The main job as a user does it: a picture posted, frames watched, the result taken."""

import os
import signal
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from cli import demo
from cli.client import ENDINGS, Service
from cli.main import run
from cli.up.log import Log
from cli.up.service import stack
from cli.up.stack import Stack
from jobs.settings import load

FIELDS = {"model": "thin", "layers": "relu4_1", "dose": "50", "image_size": "50"}


def test_frames_come_while_the_dream_runs_and_the_result_is_the_last(
    thin_stack: Stack, picture: Path
) -> None:
    """Upload, queue, worker, frames: each frame is there before the end, at the working size."""
    seen_running: set[int] = set()
    with Service(thin_stack.url) as service:
        posted = service.post(picture, {**FIELDS, "iterations": "60"})
        for job in service.follow(posted["id"]):
            latest = job["frames"]["latest"]
            if job["status"] == "running" and latest is not None:
                service.picture(f"{job['links']['frames']}/{latest}")
                seen_running.add(latest)
        frames = service.frames(posted["id"])
        result = service.picture(job["links"]["result"])
        last = service.picture(frames[-1]["url"])

    assert posted["status"] == "queued"
    assert seen_running
    assert [frame["iteration"] for frame in frames] == list(range(61))
    assert {(frame["height"], frame["width"]) for frame in frames} == {(31, 50)}
    assert result == last


def test_dream_run_gives_the_same_bytes_as_the_service(
    thin_stack: Stack, picture: Path, tmp_path: Path
) -> None:
    """One engine, one spec: it doesn't matter where a dream is run."""
    with Service(thin_stack.url) as service:
        posted = service.post(picture, {**FIELDS, "iterations": "5"})
        *_, job = service.follow(posted["id"])
        theirs = service.picture(job["links"]["result"])
    options = [word for name, text in FIELDS.items() for word in (option(name), text)]

    out = tmp_path / "ours.png"
    command = ["run", str(picture), "-o", str(out), "--device", "cpu", "--iterations", "5"]
    assert run([*command, *options]) == 0

    assert out.read_bytes() == theirs


def test_a_killed_worker_is_replaced_and_the_next_dream_runs(
    thin_stack: Stack, picture: Path, eventually: Callable[..., None]
) -> None:
    """The supervisor starts again what dies."""
    worker = thin_stack.rooms[-1]
    killed = worker.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: worker.pid not in (None, killed), "another worker")

    with Service(thin_stack.url) as service:
        posted = service.post(picture, {**FIELDS, "iterations": "1"})
        *_, job = service.follow(posted["id"])

    assert job["status"] == "succeeded"


def test_a_killed_api_is_replaced_and_finds_every_dream_again(
    thin_stack: Stack, picture: Path, eventually: Callable[..., None]
) -> None:
    """What was accepted doesn't live in the API."""
    with Service(thin_stack.url) as service:
        posted = service.post(picture, {**FIELDS, "iterations": "1"})
    api = next(room for room in thin_stack.rooms if room.plan.name == "api")
    assert api.pid is not None
    os.kill(api.pid, signal.SIGKILL)

    eventually(lambda: _status(thin_stack.url, posted["id"]) in ENDINGS, "the dream's end")

    assert _status(thin_stack.url, posted["id"]) == "succeeded"


def _status(url: str, job_id: str) -> str | None:
    try:
        answer = httpx.get(f"{url}/dreams/{job_id}", trust_env=False)
    except httpx.TransportError:
        return None
    status: str = answer.json()["status"]
    return status


def test_the_demo_leaves_frames_result_sheet_and_film(
    environment: dict[str, str],
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`make demo` from its first phase to its last, on the thin model; nothing is left running."""
    _ = environment
    monkeypatch.setattr(demo, "DREAM", {**FIELDS, "iterations": "4"})
    monkeypatch.setattr(demo, "IMAGE_SIZE_CPU", 64)
    out = tmp_path / "demo"

    assert run(["demo", "--image", str(picture), "--out", str(out), "--device", "cpu"]) == 0

    frames = [f"frame_00{iteration}.png" for iteration in range(5)]
    others = ["contact_sheet.png", "dream.webp", "result.png", "service.log", "source.png"]
    assert sorted(path.name for path in out.iterdir()) == sorted(frames + others)
    assert (out / "result.png").read_bytes() == (out / frames[-1]).read_bytes()
    with Image.open(out / "dream.webp") as film:
        assert getattr(film, "n_frames", 1) == len(frames)
    printed = capsys.readouterr().out
    for phase in ("weights", "start", "queue", "dream", "stop", "total"):
        assert f"\n  {phase} " in printed


def test_a_demo_that_is_refused_says_why_and_stops_what_it_started(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is no picture: the service's sentence, exit status 1."""
    _ = environment
    text = tmp_path / "notes.txt"
    text.write_text("not a picture")
    patched = {**FIELDS, "iterations": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "DREAM", patched)
        status = run(
            ["demo", "--image", str(text), "--out", str(tmp_path / "o"), "--device", "cpu"]
        )

    assert status == 1
    assert "dream: the service answered 415" in capsys.readouterr().err


@pytest.mark.weights
def test_the_real_vgg19_dreams_through_the_whole_stack(
    environment: dict[str, str], real_models: Path, picture: Path, tmp_path: Path
) -> None:
    """The default model with its real weights, shown by how far the picture has moved."""
    _ = environment
    with pytest.MonkeyPatch.context() as patch, (tmp_path / "log").open("w") as lines:
        patch.setenv("DREAM_MODEL_DIR", str(real_models))
        settings = load(data_dir=tmp_path / "data", port=0, device="cpu")
        with stack(settings, Log(lines)) as up, Service(up.url) as service:
            posted = service.post(picture, {"iterations": "6", "image_size": "64"})
            *_, job = service.follow(posted["id"])
            first, last = (
                np.asarray(Image.open(BytesIO(service.picture(frame["url"]))), float)
                for frame in service.frames(posted["id"])[:: job["progress"]["iterations"]]
            )

    assert job["spec"]["model"] == "vgg19"
    assert job["progress"]["losses"]["relu5_1"] > 0
    assert np.abs(last - first).mean() > 5  # of 255: six steps of Adam that all but agree


def option(name: str) -> str:
    """Return the option of a field."""
    return f"--{name.replace('_', '-')}"
