"""docs/reference/http.md is what the code says, and its examples are documents of ours."""

import json
import re
from pathlib import Path

from api.app import create_app
from api.documents import FrameList, JobDocument
from api.problems import ProblemDocument
from api.reference import page
from jobs.estimate import Estimate
from jobs.settings import Settings

WRITTEN = Path(__file__).parents[2] / "docs" / "reference" / "http.md"


def test_the_reference_is_not_stale(tmp_path: Path) -> None:
    """`python -P -m api.reference > docs/reference/http.md` writes it anew."""
    assert WRITTEN.read_text("utf-8") == page(create_app(Settings(data_dir=tmp_path)))


def test_its_examples_are_documents_of_ours() -> None:
    """Every field, and none that there isn't."""
    text = WRITTEN.read_text("utf-8")
    job, estimate, frames, problem = (
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    )

    assert JobDocument.model_validate(job).model_dump(mode="json") == job
    assert Estimate.model_validate(estimate).model_dump(mode="json") == estimate
    assert FrameList.model_validate(frames).model_dump(mode="json") == frames
    assert ProblemDocument.model_validate(problem).model_dump(mode="json") == problem
