"""docs/reference/cli.md is what the commands say."""

import re
from pathlib import Path

from cli.main import COMMANDS
from cli.reference import page

WRITTEN = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_reference_is_not_stale() -> None:
    """`python -P -m cli.reference > docs/reference/cli.md` writes it anew."""
    assert WRITTEN.read_text("utf-8") == page()


def test_every_command_has_a_section_and_every_link_leads_to_one() -> None:
    """Groups by their commands."""
    text = WRITTEN.read_text("utf-8")
    sections = re.findall(r"^## dream (.*)$", text, re.MULTILINE)

    assert {name.split()[0] for name in sections} == set(COMMANDS)
    links = re.findall(r"\(#(.*?)\)", text)
    assert links == [f"dream-{name.replace(' ', '-')}" for name in sections]


def test_nothing_in_it_is_a_path_of_this_machine() -> None:
    """Defaults of a host's own must not leak into what everyone reads."""
    assert str(Path.home()) not in page()
