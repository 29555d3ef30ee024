"""Errors → problems: one table, complete, and answers that any JSON reader can read."""

import json

import pytest

from api import problems
from api.errors import NoSuchModel
from dream_core.errors import (
    DreamError,
    FieldFault,
    HostFault,
    InvalidSpec,
    Refused,
    Stale,
    UnknownModel,
    Wait,
)
from jobs.errors import LedgerAway

ALL = [error for error in problems.known() if error is not DreamError]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_is_answered_on_its_branch(error: type[DreamError]) -> None:
    """The user's move is 4xx, the host's and waiting 5xx or 429; what is Stale reaches nobody."""
    status = problems.status_of(error)

    if issubclass(error, Stale):
        assert status == 500
    elif issubclass(error, Wait):
        assert status in (429, 503, 507)
    elif issubclass(error, HostFault):
        assert status in (422, 503)
    else:
        assert issubclass(error, Refused)
        assert 400 <= status < 500


def test_a_reason_that_only_the_worker_knows_has_no_page() -> None:
    """RFC 9457's own word for it, and no address that leads nowhere."""
    assert problems.problem_type("unknown-layer") == "/problems/unknown-layer"
    assert problems.problem_type("nobody-knows") == "about:blank"


def test_a_code_means_one_thing() -> None:
    """Two classes share a code only where one is the other."""
    owners: dict[str, type[DreamError]] = {}
    for error in ALL:
        owner = owners.setdefault(error.code, error)
        assert issubclass(error, owner) or error.code == "internal"


def test_the_same_code_is_404_in_a_path_and_422_in_a_post() -> None:
    """What a path names and isn't there is not found; what a form names is a slip of the pen."""
    assert problems.status_of(NoSuchModel) == 404
    assert problems.status_of(UnknownModel) == 422


def test_waiting_says_how_long() -> None:
    """Retry-After, in seconds."""
    answer = problems.of(LedgerAway("refused"))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.media_type == "application/problem+json"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("relu6_1", "relu6_1"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ([1, {"a": None}], "[1, {'a': None}]"),
        ("half a pair \ud800", "half a pair ?"),
    ],
)
def test_any_value_is_answered_as_json(value: object, shown: object) -> None:
    """What a caller sends comes back in `errors`, whatever it is."""
    answer = problems.of(InvalidSpec([FieldFault("seed", value, "seed is wrong \udfff")]))

    assert json.loads(bytes(answer.body), parse_constant=pytest.fail)["errors"] == [
        {"field": "seed", "value": shown, "message": "seed is wrong ?", "allowed": []}
    ]


@pytest.mark.parametrize("value", ["x" * 10_000, 10**4000, ["x"] * 10_000])
def test_a_long_value_comes_back_short(value: object) -> None:
    """An answer is for reading."""
    answer = problems.of(InvalidSpec([FieldFault("x" * 10_000, value, "wrong")]))

    assert len(answer.body) < 1000


def test_every_code_has_a_page() -> None:
    """A problem's `type` leads to what it means."""
    for error in ALL:
        if not issubclass(error, Stale) and error.code != "internal":
            assert problems.kinds()[error.code].meaning
