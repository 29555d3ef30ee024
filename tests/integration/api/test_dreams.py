"""Posting a dream, finding it again, looking at its pictures: over HTTP, on a real Valkey."""

import hashlib
import json
from collections.abc import Callable
from io import BytesIO

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from PIL import Image

from jobs.claim import Claim
from jobs.ledger import Ledger
from jobs.record import Problem

Post = Callable[..., Response]
Encode = Callable[..., bytes]


def test_a_posted_dream_is_answered_with_the_whole_job(post: Post) -> None:
    """202, its address, and every part of the document, null where not yet known."""
    answer = post(layers="relu5_1,relu4_1=-5", dose="100", iterations="3")
    job = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == job["links"]["self"] == f"/dreams/{job['id']}"
    assert job["spec"]["layers"] == {"relu4_1": -5, "relu5_1": 100}
    assert job["status"] == "queued"
    assert (job["attempt"], job["run"], job["problem"], job["parent"]) == (0, None, None, None)
    assert (job["source"]["width"], job["source"]["height"]) == (60, 40)
    assert job["progress"] == {
        "iteration": 0,
        "iterations": 3,
        "fraction": 0,
        "octave": 0,
        "losses": {},
        "seconds_per_iteration": None,
        "eta_s": None,
    }
    assert job["queue"] == {"position": 1, "waits_for": "a worker; none is up"}
    assert job["frames"] == {"count": 0, "latest": None}
    assert job["links"]["result"] is None
    assert job["links"]["events"] is None


def test_the_documents_of_post_and_get_are_one(post: Post, api: TestClient) -> None:
    """What was answered is what is found, wherever a job is returned."""
    posted = post().json()

    assert api.get(posted["links"]["self"]).json() == posted
    assert api.get("/dreams").json() == {"dreams": [posted], "next": None}


def test_the_spec_shown_posted_again_is_the_same_dream(
    api: TestClient, post: Post, encode: Encode
) -> None:
    """As `spec`, as text or as a file; with content layers, which are a list in JSON."""
    shown = post(content_layers="relu2_2", layers="relu5_1=7", seed="3").json()["spec"]

    as_text = post(spec=json.dumps(shown))
    as_file = api.post(
        "/dreams", files={"image": ("a", encode()), "spec": ("s.json", json.dumps(shown))}
    )

    assert as_text.json()["spec"] == as_file.json()["spec"] == shown


def test_a_spec_that_nobody_filled_in_is_none(post: Post) -> None:
    """A web page, /docs among them, sends it empty beside the fields."""
    answer = post(spec="", iterations="3")

    assert answer.status_code == 202
    assert answer.json()["spec"]["iterations"] == 3


def test_dreams_are_listed_newest_first_page_by_page(post: Post, api: TestClient) -> None:
    """An id lost with the terminal is found again, none twice and none left out."""
    ids = [post().json()["id"] for _ in range(5)]
    pages, address = [], "/dreams?limit=2"
    while address:
        page = api.get(address).json()
        pages.append([job["id"] for job in page["dreams"]])
        address = page["next"]

    assert pages == [ids[:2:-1], ids[2:0:-1], ids[:1]]


def test_frames_are_there_while_the_dream_still_runs(dreaming: Claim, api: TestClient) -> None:
    """A frame's number is its iteration; the list says where each is."""
    here = f"/dreams/{dreaming.job.id}"
    frames = api.get(f"{here}/frames").json()

    assert [frame["iteration"] for frame in frames["frames"]] == [0, 10]
    assert frames["frames"][1]["url"] == f"{here}/frames/10"
    assert frames["next"] is None
    for frame in frames["frames"]:
        picture = api.get(frame["url"])
        assert picture.headers["content-type"] == "image/png"
        assert len(picture.content) == frame["bytes"]
    assert api.get(here).json()["frames"] == {"count": 2, "latest": 10}
    assert api.get(here).json()["status"] == "running"


def test_frames_are_listed_page_by_page(dreaming: Claim, api: TestClient) -> None:
    """`next` goes on where a page ended; `after` asks for what has come since."""
    here = f"/dreams/{dreaming.job.id}/frames"
    first = api.get(f"{here}?limit=1").json()
    second = api.get(first["next"]).json()

    assert [frame["iteration"] for frame in first["frames"]] == [0]
    assert [frame["iteration"] for frame in second["frames"]] == [10]
    assert second["next"] is None
    assert api.get(f"{here}?after=10").json() == {"frames": [], "next": None}


def test_a_frame_that_is_not_there_yet_says_which_is(dreaming: Claim, api: TestClient) -> None:
    """A poller learns how far the frames are."""
    answer = api.get(f"/dreams/{dreaming.job.id}/frames/20")

    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown-frame"
    assert "the latest is 10" in answer.json()["detail"]


@pytest.mark.parametrize("n", ["5", "-1", "00", "010", "1.0", "1e1", "x", "%20", "9" * 400, "١"])
def test_a_frame_of_any_form_that_is_not_there_is_404(
    n: str, dreaming: Claim, api: TestClient
) -> None:
    """What a path names and isn't there is never a 422."""
    answer = api.get(f"/dreams/{dreaming.job.id}/frames/{n}")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-frame")


def test_pictures_are_kept_by_who_has_them(dreaming: Claim, api: TestClient) -> None:
    """Immutable and private; a strong ETag answers with 304, a range with its bytes."""
    address = f"/dreams/{dreaming.job.id}/frames/10"
    whole = api.get(address)
    etag = whole.headers["etag"]

    assert etag.startswith('"')
    assert whole.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert api.get(address).headers["etag"] == etag
    assert api.get(f"/dreams/{dreaming.job.id}/frames/0").headers["etag"] != etag
    for wanted in (etag, f'"x", W/{etag}', "*"):
        again = api.get(address, headers={"If-None-Match": wanted})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    part = api.get(address, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [
        ("bytes=0-3", 206, b"\x89PNG"),
        ("bytes=-4", 206, b"\xaeB`\x82"),
        ("bytes=3-2", 200, None),
        ("bytes=0-1,2-3", 200, None),
        ("bytes=" + "0-1," * 999, 200, None),
        ("bytes=x", 200, None),
        ("bytes=-0", 200, None),
        ("lines=1-2", 200, None),
        ("bytes=999999-", 416, None),
    ],
)
def test_one_plain_range_is_served_and_nothing_else_hurts(
    wanted: str, status: int, content: bytes | None, dreaming: Claim, api: TestClient
) -> None:
    """What can't be understood is answered whole; what begins past the end is a problem."""
    answer = api.get(f"/dreams/{dreaming.job.id}/frames/0", headers={"Range": wanted})

    assert answer.status_code == status
    assert content in (None, answer.content)


def test_the_source_is_served_upright(post: Post, api: TestClient, encode: Encode) -> None:
    """As a PNG of its own size, whatever camera held it; its sha256 is in the job."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    job = post(encode(60, 40, "JPEG", exif=exif)).json()
    source = api.get(job["links"]["source"])

    assert (job["source"]["width"], job["source"]["height"]) == (40, 60)
    assert Image.open(BytesIO(source.content)).size == (40, 60)
    assert hashlib.sha256(source.content).hexdigest() == job["source"]["sha256"]


def test_the_result_is_the_last_frame_of_a_dream_that_succeeded(
    dreaming: Claim, api: TestClient, encode: Encode
) -> None:
    """Before that it is a 404 that says how the dream stands."""
    here = f"/dreams/{dreaming.job.id}"
    early = api.get(f"{here}/result")
    dreaming.publish_frame(20, 512, 341, encode(512, 361))
    dreaming.succeed()
    links = api.get(here).json()["links"]

    assert early.status_code == 404
    assert early.json()["code"] == "no-result"
    assert "is running (10 of 20 iterations)" in early.json()["detail"]
    assert api.get(links["result"]).content == api.get(f"{here}/frames/20").content


def test_a_failed_dream_says_why(dreaming: Claim, api: TestClient) -> None:
    """The job holds a problem as the API's own are; there is no result, but frames."""
    here = f"/dreams/{dreaming.job.id}"
    dreaming.fail(Problem(code="weights-corrupt", title="Weights corrupt", detail="checksum …"))
    job = api.get(here).json()

    assert job["status"] == "failed"
    assert job["problem"]["code"] == "weights-corrupt"
    assert job["problem"]["type"] == "/problems/weights-corrupt"
    assert api.get(job["problem"]["type"]).status_code == 200
    assert "none" in api.get(f"{here}/result").json()["detail"]
    assert api.get(f"{here}/frames/10").status_code == 200


@pytest.mark.parametrize("address", ["", "/frames", "/frames/0", "/source", "/result"])
@pytest.mark.parametrize(
    "dream",
    [
        "01KAT3Y5W7ZQH9N4C8RSBV6XEM",
        "1",
        "-1",
        "..%2f..",
        "%00",
        "%ff",
        "☃",
        "a" * 5000,
        "{id}",
        "*",
    ],
)
def test_a_dream_of_any_form_that_is_not_there_is_404(
    dream: str, address: str, api: TestClient
) -> None:
    """An id is looked up, never parsed, never made a path."""
    answer = api.get(f"/dreams/{dream}{address}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_head_works_where_get_does(dreaming: Claim, api: TestClient) -> None:
    """The same headers, no body."""
    here = f"/dreams/{dreaming.job.id}"
    for address in ("/", "/docs", "/dreams", here, f"{here}/frames/10", "/models", "/healthz"):
        head, get = api.head(address), api.get(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
    assert api.head("/dreams/nothing").status_code == 404


def test_a_dream_is_accepted_while_no_worker_is_there(post: Post, ledger: Ledger) -> None:
    """It waits in the queue, in order, and knows for what."""
    jobs = [post().json() for _ in range(3)]

    assert [job["queue"]["position"] for job in jobs] == [1, 2, 3]
    assert ledger.get(jobs[0]["id"]).status == "queued"
