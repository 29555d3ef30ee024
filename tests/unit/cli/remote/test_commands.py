import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from cli import client
from cli.main import run
from cli.remote import watch
from jobs.exits import BAD_SETUP

Serving = Callable[[dict[str, list[httpx.Response]]], list[httpx.Request]]
Document = Callable[..., httpx.Response]
Capture = pytest.CaptureFixture[str]


def refusal(status: int, detail: str) -> httpx.Response:
    """Answer with a problem."""
    return httpx.Response(status, json={"detail": detail})


def test_a_post_sends_what_was_given_and_prints_the_id_alone(
    serving: Serving, document: Document, capsys: Capture, tmp_path: Path
) -> None:
    """`id=$(dream post cat.png)`: what else is to be said stands on stderr."""
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"PNG")
    asked = serving({"POST /dreams": [document("X", "queued", 202)]})

    options = ["--layers", "relu5_1=7", "--normalize-gradients", "--timeout-s", "60"]
    assert run(["post", str(picture), *options, "--queue", "bulk"]) == 0

    said = capsys.readouterr()
    assert said.out == "X\n"
    assert "dream get X --wait -o out.png" in said.err
    body = asked[0].content.decode()
    for name, value in {
        "layers": "relu5_1=7",
        "normalize_gradients": "True",
        "timeout_s": "60",
        "queue": "bulk",
    }.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n' in body
    assert "iterations" not in body


def test_a_post_may_wait_for_its_result(
    serving: Serving, document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-o alone is enough to say so."""
    monkeypatch.setattr(watch, "POLL_EVERY_S", 0)
    picture, out = tmp_path / "cat.png", tmp_path / "new" / "out.png"
    picture.write_bytes(b"PNG")
    done = document("X", "succeeded", links={"result": "/dreams/X/result"})
    serving(
        {
            "POST /dreams": [document("X", "queued", 202)],
            "GET /dreams/X": [document("X", "running"), done],
            "GET /dreams/X/result": [httpx.Response(200, content=b"pixels")],
        }
    )

    assert run(["post", str(picture), "-o", str(out)]) == 0

    assert out.read_bytes() == b"pixels"


def test_the_list_tells_where_the_older_ones_are(
    serving: Serving, document: Document, capsys: Capture
) -> None:
    """As a command to type, with the same choice."""
    page = {
        "dreams": [document("X", "queued").json()],
        "next": "/dreams?limit=1&before=X&status=queued",
    }
    serving({"GET /dreams?limit=1&status=queued": [httpx.Response(200, json=page)] * 2})

    assert run(["ls", "-n", "1", "--status", "queued"]) == 0
    told = capsys.readouterr()
    assert run(["ls", "-n", "1", "--status", "queued", "--json"]) == 0

    assert told.out.splitlines()[1].startswith("X ")
    assert told.err == "older ones: dream ls --status queued -n 1 --before X\n"
    assert json.loads(capsys.readouterr().out) == page


def test_an_empty_list_says_how_to_ask_for_a_dream(serving: Serving, capsys: Capture) -> None:
    """On stderr: a program that reads the list reads nothing."""
    serving({"GET /dreams?limit=20": [httpx.Response(200, json={"dreams": [], "next": None})]})

    assert run(["ls"]) == 0

    assert capsys.readouterr() == ("", "no dreams; `dream post IN` asks for one\n")


def test_each_of_several_is_moved_and_each_refusal_told(
    serving: Serving, document: Document, capsys: Capture
) -> None:
    """One that isn't there keeps nobody from the others; the exit status says that one was."""
    serving(
        {
            "POST /dreams/A/cancel": [refusal(404, "there is no dream 'A'")],
            "POST /dreams/B/cancel": [document("B", "canceling")],
            "POST /dreams/C/cancel": [refusal(404, "there is no dream 'C'")],
        }
    )

    assert run(["cancel", "A", "B", "C"]) == 1

    said = capsys.readouterr()
    assert said.out == "B canceling\n"
    assert said.err == (
        "dream: the service answered 404: there is no dream 'A'\n"
        "dream: the service answered 404: there is no dream 'C'\n"
    )


def test_a_deleted_dream_is_told(serving: Serving, capsys: Capture) -> None:
    """One line each."""
    serving({f"DELETE /dreams/{name}": [httpx.Response(204)] for name in "AB"})

    assert run(["rm", "A", "B"]) == 0

    assert capsys.readouterr().out == "A deleted\nB deleted\n"


@pytest.mark.parametrize(
    ("command", "asked_at", "body"),
    [
        (["retry", "X"], "POST /dreams/X/retry", b""),
        (["continue", "X", "--iterations", "5"], "POST /dreams/X/continue", b"iterations=5"),
    ],
)
def test_what_comes_of_a_dream_has_an_id_of_its_own(
    command: list[str],
    asked_at: str,
    body: bytes,
    serving: Serving,
    document: Document,
    capsys: Capture,
) -> None:
    """It is printed as a post's."""
    asked = serving({asked_at: [document("Y", "queued", 202)]})

    assert run(command) == 0

    assert capsys.readouterr().out == "Y\n"
    assert asked[0].content == body


def test_a_result_that_is_not_there_says_how_to_wait(
    serving: Serving, document: Document, capsys: Capture, tmp_path: Path
) -> None:
    """Exit status 1, and no file."""
    out = tmp_path / "o.png"
    serving({"GET /dreams/X": [document("X", "running")]})

    assert run(["get", "X", "-o", str(out)]) == 1

    said = capsys.readouterr().err
    assert "dream X is running (3 of 30 iterations) and has no result; wait for it" in said
    assert f"dream get X --wait -o {out}" in said
    assert not out.exists()


def test_frames_are_fetched_each_once(
    serving: Serving, document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they come, numbered by iteration."""
    monkeypatch.setattr(watch, "POLL_EVERY_S", 0)

    def frames(*numbers: int) -> httpx.Response:
        listed = [{"iteration": n, "url": f"/dreams/X/frames/{n}"} for n in numbers]
        return httpx.Response(200, json={"frames": listed, "next": None})

    some = {"frames": {"count": 2, "latest": 1}}
    all_ = {"frames": {"count": 3, "latest": 2}}
    asked = serving(
        {
            "GET /dreams/X": [
                document("X", "running", **some),
                document("X", "running", **some),
                document("X", "succeeded", **all_),
            ],
            "GET /dreams/X/frames": [frames(0, 1)],
            "GET /dreams/X/frames?after=1": [frames(2)],
            **{
                f"GET /dreams/X/frames/{n}": [httpx.Response(200, content=b"%d" % n)]
                for n in range(3)
            },
        }
    )

    assert run(["get", "X", "--wait", "--frames", str(tmp_path / "f")]) == 0

    kept = {path.name: path.read_bytes() for path in (tmp_path / "f").iterdir()}
    assert kept == {"frame_000.png": b"0", "frame_001.png": b"1", "frame_002.png": b"2"}
    assert len(asked) == 3 + 2 + 3


def test_ctrl_c_leaves_the_dream_running_and_says_so(
    serving: Serving, document: Document, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the service's; who waits only watches. --url is repeated where it was given."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client.time, "sleep", interrupted)
    asked = serving({"GET /dreams/X": [document("X", "running")]})

    assert run(["get", "X", "--wait", "--url", "http://there"]) == 130

    said = capsys.readouterr().err
    assert "the dream goes on" in said
    assert "dream cancel X --url http://there" in said
    assert [request.method for request in asked] == ["GET"]


def test_a_dream_that_fails_while_it_is_waited_for_is_exit_1(
    serving: Serving, document: Document, capsys: Capture
) -> None:
    """With the worker's sentence."""
    serving({"GET /dreams/X": [document("X", "failed", problem={"detail": "the disk is full"})]})

    assert run(["get", "X", "--wait"]) == 1

    assert "dream: dream X ended failed: the disk is full\n" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["out.jpg", "out"])
def test_a_result_under_another_name_is_refused_before_anything_is_asked(
    out: str,
    serving: Serving,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A PNG named .jpg puzzles every program after us."""
    asked = serving({})
    monkeypatch.chdir(tmp_path)  # where `make demo` has left no folder of that name

    assert run(["post", "cat.png", "-o", out]) == run(["get", "X", "-o", out]) == 1

    assert asked == []
    assert "name it out.png" in capsys.readouterr().err


QUEUE: dict[str, Any] = {
    "paused": False,
    "since": None,
    "queued": 3,
    "running": 1,
    "queues": {
        "interactive": {"queued": 3, "oldest_at": "2026-11-23T18:00:00Z", "oldest_age_s": 75.0},
        "bulk": {"queued": 0, "oldest_at": None, "oldest_age_s": None},
    },
    "workers": [{"host": "h", "slot": 0, "state": "dreaming", "job": "X", "device": "cpu"}],
}


def test_the_queue_is_told_in_a_few_lines(serving: Serving, capsys: Capture) -> None:
    """What runs, what waits and how long, who is there, and a pause first of all."""
    paused = {**QUEUE, "paused": True, "since": "2026-11-23T18:00:00Z", "workers": []}
    serving({"GET /queue": [httpx.Response(200, json=QUEUE), httpx.Response(200, json=paused)]})

    assert run(["queue", "ls"]) == run(["queue", "ls"]) == 0

    open_, held = capsys.readouterr().out.split("running", 2)[1:]
    assert "interactive       3   the oldest waits for 1 min 15 s" in open_
    assert "h:0 dreaming X on cpu" in open_
    assert "dream queue resume" in open_  # the first line of the second answer
    assert "none is up; `dream up` starts one" in held


def test_a_pause_and_its_end_are_told(serving: Serving, capsys: Capture) -> None:
    """With the way back."""
    answer = httpx.Response(200, json=QUEUE)
    asked = serving({"POST /queue/pause": [answer], "POST /queue/resume": [answer]})

    assert run(["queue", "pause"]) == run(["queue", "resume"]) == 0

    assert capsys.readouterr().out == "paused; `dream queue resume` starts dreams again\nresumed\n"
    assert len(asked) == 2


@pytest.mark.parametrize(
    "command",
    [["ls"], ["get", "X"], ["cancel", "X"], ["rm", "X"], ["retry", "X"], ["queue", "ls"]],
)
def test_without_a_service_each_says_how_to_start_it(command: list[str], capsys: Capture) -> None:
    """Port 1 is nobody's."""
    assert run([*command, "--url", "http://127.0.0.1:1"]) == 1

    said = capsys.readouterr().err
    assert "start it with `dream up`, or name another address with --url" in said
    assert said.count("\n") == 1


def test_the_address_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """DREAM_URL, for who has one service elsewhere."""
    monkeypatch.setenv("DREAM_URL", "http://127.0.0.1:1")

    assert run(["ls"]) == 1

    assert "http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("in_a_file", [False, True])
def test_the_key_of_the_environment_goes_with_every_request(
    in_a_file: bool,
    serving: Serving,
    document: Document,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The service's own variables; it is no option, which a list of processes would show."""
    (tmp_path / "key").write_text("correct-horse-battery\n")
    given = ("_FILE", f"{tmp_path / 'key'}") if in_a_file else ("", "correct-horse-battery")
    monkeypatch.setenv(f"DREAM_API_KEY{given[0]}", given[1])
    asked = serving({"GET /dreams/X": [document("X", "running")]})

    assert run(["get", "X"]) == 0

    assert [sent.headers["authorization"] for sent in asked] == ["Bearer correct-horse-battery"]


def test_without_a_key_none_is_sent(
    serving: Serving, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open service needs none."""
    monkeypatch.delenv("DREAM_API_KEY", raising=False)
    asked = serving({"GET /dreams/X": [document("X", "running")]})

    assert run(["get", "X"]) == 0

    assert "authorization" not in asked[0].headers


def test_a_key_that_is_none_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Nothing is asked with half a key, and it isn't repeated."""
    monkeypatch.setenv("DREAM_API_KEY", "swordfish")

    assert run(["ls"]) == BAD_SETUP

    said = capsys.readouterr().err
    assert said.startswith("dream: DREAM_API_KEY is '…': the key has 9 characters")
    assert "swordfish" not in said


@pytest.mark.parametrize("wrong", [["-n", "0"], ["--status", "lost"], ["--before"]])
def test_wrong_usage_is_2(wrong: list[str]) -> None:
    """Before anything is asked."""
    assert run(["ls", *wrong]) == 2


ESTIMATE = {
    "width": 512,
    "height": 341,
    "iterations": 30,
    "frames": 31,
    "seconds": 185.2,
    "median_error": 0.08,
    "basis": "from 14 earlier dreams on cpu, median error 8 %",
    "measured_while_busy": False,
    "precision": "exact",
    "wait_s": 0.0,
    "memory_bytes": 520_000_000,
    "disk_bytes": 1_250_000_000,
}
FORESEEN = "30 iterations at 512 × 341{}: 520 MB of memory, at most 1.2 GB of disk for 31 frames\n"


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({}, "about 3 min 05 s (from 14 earlier dreams on cpu, median error 8 %)"),
        ({"wait_s": 12.0, "basis": "b"}, "about 3 min 05 s, after 12 s of waiting (b)"),
        (
            {"seconds": None, "wait_s": None, "basis": "no dream yet"},
            "time unknown, after an unknown wait (no dream yet)",
        ),
    ],
    ids=str,
)
def test_an_estimate_is_told_in_two_lines(
    found: dict[str, Any], line: str, serving: Serving, capsys: Capture, tmp_path: Path
) -> None:
    """And the picture stays here: its size is all that is sent of it."""
    picture = tmp_path / "cat.png"
    Image.new("RGB", (60, 40)).save(picture)
    asked = serving({"POST /estimate": [httpx.Response(200, json={**ESTIMATE, **found})]})

    assert run(["estimate", str(picture), "--iterations", "30"]) == 0

    assert capsys.readouterr().out == f"{line}\n{FORESEEN.format(', exact')}"
    assert asked[0].headers["content-type"].startswith("multipart/form-data")
    body = asked[0].content.decode()
    for name, value in {"width": "60", "height": "40", "iterations": "30"}.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n' in body
    assert "filename" not in body


@pytest.mark.parametrize(
    ("asked", "computed", "said"),
    [
        ("fast", "exact", ", exact as fast is no faster there"),
        ("fast", "fast", ", fast"),
        ("auto", "balanced", ", balanced"),
        ("fast", None, ""),
    ],
)
def test_bits_that_would_gain_nothing_are_said(
    asked: str,
    computed: str | None,
    said: str,
    serving: Serving,
    capsys: Capture,
    tmp_path: Path,
) -> None:
    """Who asks for fast on a CPU without instructions for it gets an exact dream."""
    picture = tmp_path / "cat.png"
    Image.new("RGB", (60, 40)).save(picture)
    serving({"POST /estimate": [httpx.Response(200, json={**ESTIMATE, "precision": computed})]})

    assert run(["estimate", str(picture), "--precision", asked]) == 0

    assert FORESEEN.format(said) in capsys.readouterr().out


def test_an_estimate_for_programs_is_the_document(
    serving: Serving, capsys: Capture, tmp_path: Path
) -> None:
    """Nothing is rounded and nothing left out."""
    picture = tmp_path / "cat.png"
    Image.new("RGB", (60, 40)).save(picture)
    serving({"POST /estimate": [httpx.Response(200, json=ESTIMATE)]})

    assert run(["estimate", str(picture), "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == ESTIMATE
