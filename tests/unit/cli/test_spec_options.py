from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cli.spec_options import asked_spec, spec_options
from dream_core.catalogue import Catalogue
from dream_core.errors import InvalidSpec
from dream_core.spec import DreamSpec


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    """Give a function from command-line words to the spec they ask for."""
    found: list[DreamSpec] = []

    @click.command()
    @spec_options
    def command(**options: Any) -> None:
        found.append(asked_spec(options, Catalogue.load(tmp_path)))

    def run(*words: str) -> DreamSpec:
        CliRunner().invoke(command, words, catch_exceptions=False)
        return found[-1]

    run.command = command  # type: ignore[attr-defined]
    return run


def test_no_option_is_the_default_dream(ask: Any, tmp_path: Path) -> None:
    """The class has the defaults; the command line has none of its own."""
    assert ask() == DreamSpec.parse({}, Catalogue.load(tmp_path))


def test_every_field_has_an_option(ask: Any) -> None:
    """A new knob of DreamSpec is on the command line with its help, unasked."""
    listed = CliRunner().invoke(ask.command, ["--help"]).output

    for name in DreamSpec.model_fields:
        assert f"--{name.replace('_', '-')}" in listed


def test_options_are_the_flat_form(ask: Any) -> None:
    """Layers with a dose of their own, the dose for the rest, switches, lists."""
    spec = ask(
        *("--layers", "relu5_1=10,relu2_1", "--dose", "-5", "--normalize-gradients"),
        *("--content-layers", "relu3_1,relu2_2", "--pooling", "avg", "--save-every", "7"),
    )

    assert spec.layers == {"relu2_1": -5, "relu5_1": 10}
    assert spec.normalize_gradients
    assert (spec.content_layers, spec.content_weight) == (("relu2_2", "relu3_1"), 5)
    assert (spec.pooling, spec.save_every) == ("avg", 7)


def test_a_switch_can_be_turned_off(ask: Any) -> None:
    """A field that is true by default one day can still be false."""
    assert not ask("--no-normalize-gradients").normalize_gradients


def test_an_option_given_twice_is_refused(ask: Any) -> None:
    """Whoever types --layers twice means both; the last one alone would be a surprise."""
    with pytest.raises(InvalidSpec, match="layers is given more than once"):
        ask("--layers", "relu5_1", "--layers", "relu4_1")


def test_what_is_wrong_is_said_by_the_spec(ask: Any) -> None:
    """One sentence for form, JSON and command line."""
    with pytest.raises(InvalidSpec, match="iterations is 'many'"):
        ask("--iterations", "many")
