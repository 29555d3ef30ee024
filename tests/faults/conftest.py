"""Services to disturb, a tiny real network, and the table of figures at the end."""

import os
import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dream_core.catalogue import MODEL_FILE, WEIGHTS_FILE
from tests.faults.figures import Figures, table
from tests.faults.service import Service, serving
from tests.faults.trials import MANY
from tests.thin import random_picture, random_weights, thin_model

SEED = int(os.environ.get("FAULTS_SEED", "5"))
PAGE = os.environ.get("FAULTS_PAGE")
SEEN: dict[str, Figures] = {}

PAGE_HEAD = """# Faults

What was seen when the service was disturbed on purpose: real processes (supervisor, API, workers,
Valkey) on one machine without a GPU, at random moments. `make faults` writes this page; `make test`
tries the same a few times. Why it holds: [the ledger](../explanation/ledger.md).

- *lost*: accepted jobs that did not end, or that the ledger or the disk no longer knows.
- *doubled*: jobs with two endings, or claimed twice at once; frames published twice.
- *differing bytes*: frames that are not those of an undisturbed run, over all trials.
- *slowest recovery*: from the fault until the work goes on, in the slowest trial.
- *hasty*: leases and sweeps were shortened for the test, or it would take hours.

"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what takes minutes to `make faults`; pytest counts it as deselected."""
    later = [] if MANY else [item for item in items if item.get_closest_marker("many")]
    config.hook.pytest_deselected(items=later)
    items[:] = [item for item in items if item not in later]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of real VGGs with random weights: `thin`, and `wide`, whose steps take long."""
    folder = tmp_path_factory.mktemp("models")
    for name, widths in (("thin", (10, 10, 12, 12, 14)), ("wide", (32, 32, 32, 32, 32))):
        model = thin_model(widths=widths, name=name)
        home = folder / name
        home.mkdir()
        save_file(random_weights(model, SEED), home / WEIGHTS_FILE)
        digest = sha256((home / WEIGHTS_FILE).read_bytes()).hexdigest()
        (home / "weights.sha256").write_text(f"{digest}  {WEIGHTS_FILE}\n")
        (home / MODEL_FILE).write_text(model.model_dump_json())
    return folder


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a picture with something to see at every scale, 300 × 200."""
    from torchvision.utils import save_image

    path = tmp_path_factory.mktemp("picture") / "picture.png"
    torch.manual_seed(SEED)
    save_image(random_picture(SEED, 200, 300), path)
    return path


@pytest.fixture(scope="session")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a service with one worker, everything as it is delivered."""
    with serving(tmp_path_factory.mktemp("service") / "data", models) as up:
        yield up


@pytest.fixture(scope="session")
def hasty(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a service with one worker whose leases and sweeps are short (see `hasty.py`)."""
    with serving(tmp_path_factory.mktemp("hasty") / "data", models, hasty=True) as up:
        yield up


@pytest.fixture(scope="session")
def crew(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a hasty service with three workers."""
    data_dir = tmp_path_factory.mktemp("crew") / "data"
    with serving(data_dir, models, hasty=True, workers=3) as up:
        yield up


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> int:
    """Give the number of a trial."""
    number: int = getattr(request, "param", 0)
    return number


@pytest.fixture
def figures(trial: int) -> Callable[[str], Figures]:
    """Give the figures of a fault, to which this trial adds its own."""
    _ = trial

    def of(fault: str) -> Figures:
        found = SEEN.setdefault(fault, Figures(fault))
        found.trials += 1
        return found

    return of


@pytest.fixture
def moment(request: pytest.FixtureRequest) -> random.Random:
    """Give random moments that can be had again: FAULTS_SEED=N."""
    return random.Random(f"{SEED} {request.node.nodeid}")


@pytest.fixture(scope="session")
def undisturbed() -> dict[tuple[object, ...], dict[int, bytes]]:
    """Give a place to keep the frames of undisturbed runs."""
    return {}


@pytest.fixture
def compare(
    picture: Path, undisturbed: dict[tuple[object, ...], dict[int, bytes]]
) -> Callable[..., None]:
    """Give what compares a job's frames with those of an undisturbed run of the same dream."""

    def same(service: Service, job_id: str, figures: Figures, **fields: object) -> None:
        key = tuple(sorted(fields.items()))  # all services here dream under the same plan
        if key not in undisturbed:
            calm = service.post(picture, **fields)
            assert service.ended(calm).attempt == 1
            undisturbed[key] = service.pictures(calm)
        service.ended(job_id)
        ours, theirs = service.pictures(job_id), undisturbed[key]
        differing = [n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n)]
        figures.differing += len(differing)
        assert not differing, f"frames {differing} differ from an undisturbed run's"

    return same


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, and write the page where one is asked for."""
    if not SEEN:
        return
    told = table(SEEN.values())
    terminalreporter.section("faults")
    terminalreporter.write_line(f"seed {SEED}\n{told}")
    if PAGE:
        Path(PAGE).write_text(f"{PAGE_HEAD}{told}\n")
