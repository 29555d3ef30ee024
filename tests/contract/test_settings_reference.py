"""docs/reference/settings.md is what the code says."""

from pathlib import Path

from jobs.reference import page

WRITTEN = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_reference_of_settings_is_not_stale() -> None:
    """`python -P -m jobs.reference > docs/reference/settings.md` writes it anew."""
    assert WRITTEN.read_text("utf-8") == page()
