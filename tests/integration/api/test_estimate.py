"""POST /estimate: the form of POST /dreams, the same problems, and nothing accepted."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient
from httpx2 import Response

from dream_core.catalogue import Catalogue
from dream_core.costs import Costs
from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.presence import Presence, announce
from jobs.record import Run
from jobs.scripts import Scripts

Post = Callable[..., Response]
Encode = Callable[..., bytes]
Ask = Callable[..., Response]
SIZE = {"width": "60", "height": "40"}


@pytest.fixture
def ask(api: TestClient) -> Ask:
    """Ask for an estimate: of a picture, or of the fields alone."""

    def ask(image: bytes | None = None, **fields: str) -> Response:
        files: Any = {name: (None, text) for name, text in fields.items()}
        if image is not None:
            files["image"] = ("a", image)
        return api.post("/estimate", files=files)

    return ask


def test_before_any_dream_all_but_the_time_is_known(ask: Ask) -> None:
    """Null seconds have a reason; frames, memory and disk follow from the spec."""
    told = ask(**SIZE, iterations="20", save_every="10", image_size="90").json()

    assert (told["width"], told["height"]) == (90, 60)
    assert (told["iterations"], told["frames"]) == (20, 3)
    assert told["seconds"] is told["median_error"] is told["wait_s"] is None
    assert "no dream" in told["basis"]
    assert told["memory_bytes"] > 90 * 60 * 4 * 64  # one layer's features alone
    assert told["disk_bytes"] > 3 * 90 * 60 * 4


def test_a_dream_that_has_ended_tells_the_next_one_its_time(ask: Ask, dreaming: Claim) -> None:
    """Of the same spec and size: what it took is what the next will take."""
    plan = {"executor": "direct", "precision": "exact", "device": "cpu", "threads": 2}
    model, size = Catalogue.load()["vgg19"], (341, 512)
    did = Costs.of(model, DreamSpec(iterations=20), size, frames=21)
    dreaming.begin(Run(width=512, height=341, device="cpu", plan=plan, versions={}, costs=did))
    dreaming.progress(20, {}, seconds_per_iteration=0.5, eta_s=0.0)
    dreaming.succeed()

    told = ask(**SIZE, iterations="20").json()

    assert told["seconds"] == pytest.approx(20 * 0.5)  # it said so, and took no longer
    assert told["basis"] == "from 1 earlier dream on cpu, error not known yet"


def test_a_picture_and_its_size_are_told_the_same(ask: Ask, encode: Encode) -> None:
    """Turned by its EXIF too: what counts are the sides as one sees them."""
    by_size = ask(width="40", height="60").json()

    assert ask(encode(40, 60)).json() == by_size
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    assert ask(encode(60, 40, "JPEG", exif=exif)).json() == by_size


def test_only_the_header_of_a_picture_is_read(ask: Ask, encode: Encode) -> None:
    """A picture that is cut off behind it has a size all the same."""
    whole = encode(600, 400, "JPEG")

    assert ask(whole[: len(whole) // 2]).json() == ask(width="600", height="400").json()


def test_an_estimate_accepts_nothing(ask: Ask, encode: Encode, client: redis.Redis) -> None:
    """Not even a key in Redis."""
    assert ask(encode(), queue="bulk", timeout_s="60").status_code == 200

    assert client.keys("*") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"layers": "relu6_1"},
        {"model": "vgg-19"},
        {"iteration": "3"},
        {"iterations": "0"},
        {"dose": "1e999"},
        {"queue": "slow"},
        {"timeout_s": "soon"},
        {"spec": "["},
        {"spec": '{"iterations": 3}', "dose": "3"},
        {"image_size": "4000"},
        {"image_size": "32", "layers": "relu5_1", "pooling": "avg"},
        {"optimizer": "lbfgs", "normalize_gradients": "true"},
    ],
    ids=str,
)
def test_what_is_wrong_is_the_same_problem_as_in_a_post(
    fields: dict[str, str], ask: Ask, post: Post, encode: Encode
) -> None:
    """Word for word, but for the request's id."""
    posted, asked = post(encode(120, 32), **fields), ask(width="120", height="32", **fields)

    assert posted.status_code == asked.status_code, asked.text
    without = {"request"}
    assert {k: v for k, v in posted.json().items() if k not in without} == {
        k: v for k, v in asked.json().items() if k not in without
    }


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ((31, 40), "picture-too-small"),
        ((4000, 40), "picture-too-thin"),
        ((13_000, 1000), "picture-side-too-long"),
        ((8000, 8000), "picture-too-large"),
    ],
)
def test_a_size_that_no_post_would_take_has_no_estimate(
    size: tuple[int, int], code: str, ask: Ask
) -> None:
    """The limits of a picture hold for one that isn't sent."""
    assert ask(width=str(size[0]), height=str(size[1])).json()["code"] == code


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({}, "the form has neither image nor width and height"),
        ({"width": "60"}, "width is given without height; give both"),
        ({"height": "60"}, "height is given without width; give both"),
        ({"width": "60.5", "height": "40"}, "width is '60.5'"),
        ({"width": "0", "height": "40"}, "width is '0'"),
    ],
    ids=str,
)
def test_half_a_size_is_told_what_it_lacks(fields: dict[str, str], detail: str, ask: Ask) -> None:
    """None is guessed."""
    answer = ask(queue="bulk", **fields)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)


def test_a_size_beside_a_picture_is_refused(ask: Ask, encode: Encode) -> None:
    """They could say different things."""
    answer = ask(encode(), **SIZE)

    assert answer.status_code == 422
    assert answer.json()["detail"] == "width is given beside image; give one of them"


def test_what_fits_into_no_worker_has_no_estimate(
    ask: Ask, client: redis.Redis, post: Post, encode: Encode
) -> None:
    """The same problem as of a post, which names the largest image_size that fits."""
    small = Presence(host="h", slot=0, pid=1, state="idle", device="cpu", memory_bytes=100_000_000)
    announce(Scripts(client), small)

    told, posted = ask(**SIZE, image_size="2000").json(), post(encode(), image_size="2000").json()

    assert told["code"] == "memory-exceeded"
    assert told["detail"] == posted["detail"]
