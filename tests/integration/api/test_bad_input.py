"""Whatever is sent: a problem that says the value, the limit and the way out; never a 5xx."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from httpx2 import Response

from api.app import create_app
from dream_core.catalogue import Catalogue
from dream_core.costs import Costs
from dream_core.forms.storage import Storage
from jobs.ledger import Ledger
from jobs.presence import Presence, Rates, announce
from jobs.scripts import Scripts
from jobs.settings import Settings

Post = Callable[..., Response]
Encode = Callable[..., bytes]
BOUNDARY = "multipart/form-data; boundary=x"


def problem(answer: Response) -> tuple[int, str]:
    """Status and code, when the answer is a whole problem."""
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["status"] == answer.status_code
    assert told["type"] == f"/problems/{told['code']}"
    assert told["title"]
    assert told["detail"]
    assert "Traceback" not in answer.text
    return answer.status_code, told["code"]


@pytest.mark.parametrize(
    ("fields", "code", "field", "allowed"),
    [
        ({"layers": "relu6_1"}, "unknown-layer", "layers", "relu5_1"),
        ({"content_layers": "relu42"}, "unknown-layer", "content_layers", "relu4_2"),
        ({"model": "vgg-19"}, "unknown-model", "model", "vgg19"),
        ({"iteration": "3"}, "unknown-field", "iteration", "iterations"),
        ({"spec": '{"iteration": 3}'}, "unknown-field", "iteration", "iterations"),
        ({"spec": '{"layers": {"relu6_1": 1}}'}, "unknown-layer", "layers", "relu5_1"),
        ({"pooling": "median"}, "invalid-spec", "pooling", "max"),
    ],
)
def test_an_unknown_name_lists_the_nearest_right_ones(
    fields: dict[str, str], code: str, field: str, allowed: str, post: Post
) -> None:
    """In a POST it is a 422, for programs in `allowed`."""
    answer = post(**fields)

    assert problem(answer) == (422, code)
    assert answer.json()["errors"][0]["field"] == field
    assert answer.json()["errors"][0]["allowed"][0] == allowed


@pytest.mark.parametrize(
    "fields",
    [
        {"iterations": "0"},
        {"iterations": "x" * 10_000},
        {"layers": "relu5_1=1,relu5_1=2"},
        {"layers": ",".join(f"r{n}" for n in range(5000))},
        {"layers": "relu5_1=nan"},
        {"dose": "1e999"},
        {"layers": "relu5_1=1", "dose": "2"},
        {"spec": ""},
        {"spec": "["},
        {"spec": "[" * 60_000},
        {"spec": '{"layers": {"relu5_1": NaN}}'},
        {"spec": '{"seed": ' + "9" * 5000 + "}"},
        {"spec": '{"seed": ' + "9" * 4000 + "}"},
        {"spec": '{"\\ud800": 1}'},
        {"spec": '{"iterations": 1e400}'},
        {"spec": '{"iterations": 3}', "dose": "3"},
        {"\ud7ff\u0000": "\u0000"},
    ],
)
def test_a_field_that_can_not_be_taken_is_a_422(fields: dict[str, str], post: Post) -> None:
    """And its answer is short, however long what was sent."""
    answer = post(**fields)

    assert problem(answer)[0] == 422
    assert len(answer.content) < 20_000


def test_a_repeated_field_is_refused(api: TestClient, encode: Encode) -> None:
    """Also `spec` and `image`: nothing is silently ignored."""
    picture = ("image", ("a", encode()))
    for files, data in (
        ([picture], {"dose": ["1", "1"]}),
        ([picture], {"spec": ["{}", "{}"]}),
        ([picture, picture], {}),
    ):
        assert problem(api.post("/dreams", files=files, data=data))[0] == 422


def test_a_form_without_its_picture_says_how_to_send_one(api: TestClient) -> None:
    """The commonest slip of curl, an @ left out, has a sentence of its own."""
    none = api.post("/dreams", files={"layers": (None, "relu5_1")})
    text = api.post("/dreams", files={"image": (None, "cat.jpg")})

    assert problem(none) == problem(text) == (422, "picture-missing")
    assert "curl -F image=@" in none.json()["detail"]
    assert "wants an @" in text.json()["detail"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"x", 415, "picture-format-unsupported"),
        (b"<svg/>", 415, "picture-format-unsupported"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", 415, "picture-format-unsupported"),
        (b"\xff\xd8\xff\xe0", 422, None),
        (b"\x89PNG\r\n\x1a\n", 422, None),
        (b"GIF89a", 422, None),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", 422, None),
    ],
)
def test_what_is_no_picture_is_refused_by_its_content(
    content: bytes, status: int, code: str | None, post: Post
) -> None:
    """By content and not by name; a damaged file of a kind we read is a 422."""
    found = problem(post(content))

    assert found[0] == status
    assert code in (None, found[1])


def test_a_picture_of_a_shape_we_do_not_take_is_refused(post: Post, encode: Encode) -> None:
    """Too small, too thin, cut off: the code says which."""
    assert problem(post(encode(31, 40))) == (422, "picture-too-small")
    assert problem(post(encode(1300, 32))) == (422, "picture-too-thin")
    assert problem(post(encode(64, 64, "JPEG")[:-200])) == (422, "picture-truncated")


def test_a_huge_picture_in_a_small_file_is_refused_before_it_is_decoded(
    post: Post, encode: Encode
) -> None:
    """By its header: 40 megapixels are the limit of what is decoded at all."""
    answer = post(encode(7000, 6000, "GIF"))

    assert problem(answer) == (413, "picture-too-large")
    assert "42.0 megapixels, the limit is 40" in answer.json()["detail"]


def test_an_upload_over_the_limit_is_refused_at_once(api: TestClient, post: Post) -> None:
    """By its Content-Length where there is one, else as soon as too much has come."""
    limit = api.app.state.room.settings.max_upload_bytes  # type: ignore[attr-defined]
    came = 0

    def endless() -> object:
        nonlocal came
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while came < 10 * limit:
            came += 2**20
            yield bytes(2**20)

    promised = api.post(
        "/dreams", content=b"", headers={"Content-Type": BOUNDARY, "Content-Length": str(2**40)}
    )
    endlessly = api.post("/dreams", content=endless(), headers={"Content-Type": BOUNDARY})

    assert problem(promised) == problem(endlessly) == (413, "upload-too-large")
    assert problem(post(bytes(limit + 1))) == (413, "upload-too-large")
    assert problem(post(bytes(limit)))[0] == 415
    assert "20 MiB" in promised.json()["detail"]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("application/x-www-form-urlencoded", b"layers=relu5_1", 415),
        ("", b"", 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=", b"", 400),
        ("multipart/form-data; boundary=" + "b" * 300, b"", 400),
        (BOUNDARY, b"", 400),
        (BOUNDARY, b"--y\r\n", 400),
        (BOUNDARY, b"--x\r\n\r\n\r\n--x--\r\n", 400),
        (BOUNDARY, b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", 400),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="dose"\r\n\r\n1', 400),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="dose"\r\n\r\n\xff\r\n--x--', 400),
        (BOUNDARY, b"--x\r\n" + b"A: b\r\n" * 10_000, 400),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 100, 400),
        (
            BOUNDARY,
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + bytes(70_000),
            400,
        ),
        (BOUNDARY, b"--x--\r\n", 422),
    ],
)
def test_a_body_that_is_no_form_is_refused(
    kind: str, body: bytes, status: int, api: TestClient
) -> None:
    """Malformed, cut off, of another kind: no 5xx, and a sentence."""
    answer = api.post("/dreams", content=body, headers={"Content-Type": kind})

    assert problem(answer)[0] == status


def test_this_deployments_limit_names_its_setting(post: Post) -> None:
    """Who runs the server can move it; who posts learns the largest that is taken."""
    answer = post(image_size="2049")

    assert problem(answer) == (422, "image-size-above-limit")
    assert "2048" in answer.json()["detail"]
    assert "DREAM_MAX_IMAGE_SIZE" in answer.json()["detail"]
    assert post(image_size="2048").status_code == 202


def test_what_fits_into_no_workers_memory_is_refused_before_it_is_queued(
    post: Post, ledger: Ledger, client: redis.Redis
) -> None:
    """By what the workers have told; the size that is named instead is taken."""
    worker = Presence(host="here", slot=0, pid=1, memory_bytes=250_000_000)
    announce(Scripts(client), worker)

    answer = post(image_size="2048")

    assert problem(answer) == (422, "memory-exceeded")
    assert "this server has 0.21 GB for it" in answer.json()["detail"]
    (fault,) = answer.json()["errors"]
    assert fault["field"] == "image_size"
    assert ledger.newest(10) == ([], None)
    assert post(image_size=fault["allowed"][0]).status_code == 202


def test_what_fits_is_reckoned_as_the_workers_would_run_it(post: Post, client: redis.Redis) -> None:
    """The reference keeps most of all ways; who keeps bits in its place takes larger pictures."""
    lean = Storage(lean=True, forth=2, back=2, kernel_forth=True, kernel_back=True)
    rates = Rates(executor="winograd", precision="fast", threads=2, storage=lean, costs=Costs())
    small = Presence(host="here", slot=0, pid=1, memory_bytes=200_000_000)
    held = {"image_size": "768", "content_layers": "relu4_2"}

    announce(Scripts(client), small)
    assert problem(post(**held)) == (422, "memory-exceeded")
    announce(Scripts(client), small.model_copy(update={"rates": {"fast": rates}}))
    assert post(**held, precision="fast").status_code == 202
    assert problem(post(**held, precision="exact")) == (422, "memory-exceeded")


def test_a_worker_that_has_yet_to_tell_its_memory_refuses_nothing(
    post: Post, client: redis.Redis
) -> None:
    """It is still loading torch; what doesn't fit fails when it is run."""
    for slot, memory in ((0, 250_000_000), (1, None)):
        announce(Scripts(client), Presence(host="here", slot=slot, pid=1, memory_bytes=memory))

    assert post(image_size="2048").status_code == 202


def test_the_spec_is_checked_against_the_picture(post: Post, encode: Encode) -> None:
    """A layer with no position left is a 422 that names the smallest size that has one."""
    answer = post(encode(200, 64), model="vgg16", image_size="32")

    assert problem(answer) == (422, "picture-too-small-for-layer")
    assert answer.json()["errors"][0]["allowed"] == ["50"]


def test_the_cheap_checks_come_first(post: Post) -> None:
    """A wrong spec is told before the picture is decoded."""
    assert problem(post(b"no picture", iterations="0")) == (422, "invalid-spec")


def test_a_model_whose_weights_nobody_can_fetch_is_refused(post: Post) -> None:
    """A job that must fail is not accepted; the sentence says how to bring the file."""
    catalogue = Catalogue.load()
    mine = catalogue["vgg19"].model_copy(update={"name": "mine"})
    mine = mine.model_copy(
        update={"origin": mine.origin.model_copy(update={"kind": "file", "name": "my.caffemodel"})}
    )
    file = catalogue.folder / "mine" / "model.json"
    file.parent.mkdir(parents=True)
    file.write_text(mine.model_dump_json())
    missing = post(model="mine")
    (file.parent / "weights.safetensors").write_bytes(b"")

    assert problem(missing) == (422, "weights-missing")
    assert "dream models add mine" in missing.json()["detail"]
    assert post(model="mine").status_code == 202


@pytest.mark.parametrize(
    "address",
    [
        "/dreams?limi=3",
        "/dreams?limit=3&limit=4",
        "/dreams?limit=0",
        "/dreams?limit=1001",
        "/dreams?limit=x",
        "/dreams?limit=" + "9" * 5000,
        "/dreams?before=x",
        "/dreams?before=" + "Z" * 26,
        "/dreams?after=3",
        "/models?x",
        "/models/vgg19?x=1",
        "/healthz?verbose=1",
        "/dreams/01KAT3Y5W7ZQH9N4C8RSBV6XEM?%ff=%00",
    ],
)
def test_a_wrong_query_parameter_is_a_422(address: str, api: TestClient) -> None:
    """Nothing is silently ignored, not even a slip of the pen in a parameter's name."""
    assert problem(api.get(address))[0] == 422


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/dreams/", 404),
        ("GET", "/models/vgg", 404),
        ("GET", "/models/vgg/layers", 404),
        ("GET", "/models/%00", 404),
        ("GET", "/models/..%2f..%2fetc", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/..%2fapp.py", 404),
        ("GET", "/problems/nothing", 404),
        ("PUT", "/dreams", 405),
        ("DELETE", "/models/vgg19", 405),
        ("POST", "/healthz", 405),
        ("FOO", "/dreams", 405),
    ],
)
def test_an_address_that_is_not_there_is_a_problem_too(
    method: str, address: str, status: int, api: TestClient
) -> None:
    """Every error has one form, those of the framework too."""
    assert problem(api.request(method, address))[0] == status


def test_a_wrong_method_names_the_right_ones(api: TestClient) -> None:
    """All of the address', not only those of the first route that has it."""
    assert api.put("/dreams").headers["allow"] == "GET, HEAD, POST"
    assert api.delete("/models/vgg19").headers["allow"] == "GET, HEAD"
    assert api.post("/docs").headers["allow"] == "GET, HEAD"


def test_a_model_in_a_path_lists_the_nearest_right_names(api: TestClient) -> None:
    """404, because a path names it, with the code it has in a POST."""
    answer = api.get("/models/vgg91/layers")

    assert problem(answer) == (404, "unknown-model")
    assert answer.json()["errors"][0]["allowed"][0] == "vgg19"


def test_a_redis_that_is_away_is_a_503_that_says_when_to_come_back(
    settings: Settings, encode: Encode, tmp_path: Path
) -> None:
    """The API starts and answers without it; what was not accepted leaves nothing behind."""
    away = settings.model_copy(update={"redis_url": None, "data_dir": tmp_path / "away"})
    api = TestClient(create_app(away), raise_server_exceptions=False)

    posted = api.post("/dreams", files={"image": ("a", encode())})
    listed, one, live = api.get("/dreams"), api.get("/dreams/1"), api.get("/healthz")

    assert problem(posted) == problem(listed) == problem(one) == (503, "ledger-away")
    assert int(posted.headers["retry-after"]) > 0
    assert live.json() == {"status": "ok"}
    assert [path for path in (tmp_path / "away").rglob("*") if path.is_file()] == []


def test_a_disk_that_refuses_is_a_503_with_its_reason(settings: Settings, encode: Encode) -> None:
    """A file where the folder should be stands for every disk that refuses."""
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / "dreams").write_text("in the way")
    api = TestClient(create_app(settings), raise_server_exceptions=False)

    assert problem(api.post("/dreams", files={"image": ("a", encode())})) == (503, "store-fault")


def test_a_picture_whose_file_is_gone_is_a_503(
    post: Post, api: TestClient, settings: Settings
) -> None:
    """The ledger knows it, the disk lost it: the host's fault, said so."""
    job = post().json()
    (settings.data_dir / "dreams" / job["id"] / "source.png").unlink()

    assert problem(api.get(job["links"]["source"])) == (503, "store-fault")


def test_what_nobody_thought_of_is_a_500_without_a_traceback(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback goes to the log; the user learns that it was not them."""
    monkeypatch.setattr(api.app.state.room.ledger, "newest", lambda *_: 1 / 0)  # type: ignore[attr-defined]

    answer = api.get("/dreams")

    assert problem(answer) == (500, "internal")
    assert "division" not in answer.text


def test_every_problem_of_an_answer_has_a_page(post: Post, api: TestClient) -> None:
    """`type` is an address that answers."""
    told = post(layers="relu6_1").json()

    assert api.get(told["type"]).json() == {
        "code": "unknown-layer",
        "title": "Unknown layer",
        "status": 422,
        "meaning": "A layer that the model doesn't have.",
    }
    assert json.loads(api.get("/openapi.json").text)
