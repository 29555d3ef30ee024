"""The models that can be asked for, and where their weights lie."""

import os
from pathlib import Path

import pytest

from dream_core.architectures import BUILT_IN
from dream_core.catalogue import MODEL_FILE, Catalogue, default_model_dir
from dream_core.errors import UnknownModel
from dream_core.model import Model


def add(folder: Path, name: str, *, title: str = "mine") -> Path:
    """Put a model into `folder` as `dream models add` does; return its document."""
    model = BUILT_IN["vgg16"].model_copy(update={"name": name, "title": title})
    file = folder / name / MODEL_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(model.model_dump_json())
    return file


def test_a_model_that_was_added_stands_beside_those_built_in(tmp_path: Path) -> None:
    """Known by name from the moment its document lies there."""
    add(tmp_path, "thin")

    catalogue = Catalogue.load(tmp_path)

    assert "thin" in catalogue
    assert catalogue["thin"].title == "mine"
    assert [model.name for model in catalogue] == [*BUILT_IN, "thin"]


def test_a_model_written_anew_is_read_anew(tmp_path: Path) -> None:
    """Documents are remembered between loads, but not beyond a change of theirs."""
    file = add(tmp_path, "thin", title="first")
    Catalogue.load(tmp_path)
    add(tmp_path, "thin", title="second")
    os.utime(file, ns=(1, 1))  # another time than before, however fast this ran

    assert Catalogue.load(tmp_path)["thin"].title == "second"


def test_a_folder_that_is_not_there_holds_no_models(tmp_path: Path) -> None:
    """The first start, before any weights were pulled."""
    assert list(Catalogue.load(tmp_path / "none")) == list(BUILT_IN.values())


def test_an_unknown_model_brings_the_nearest(tmp_path: Path) -> None:
    """A slip of the finger is answered with what was meant."""
    with pytest.raises(UnknownModel, match="did you mean vgg19"):
        Catalogue.load(tmp_path)["vgg91"]


def test_weights_lie_in_a_folder_by_the_models_name(tmp_path: Path) -> None:
    """One folder a model, whether it is built in or added."""
    catalogue = Catalogue.load(tmp_path)

    assert catalogue.weights("vgg19") == tmp_path / "vgg19" / "weights.safetensors"


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DREAM_MODEL_DIR wins over the user's cache folder; empty is as good as unset."""
    monkeypatch.setenv("DREAM_MODEL_DIR", str(tmp_path))
    assert default_model_dir() == tmp_path

    monkeypatch.setenv("DREAM_MODEL_DIR", "")
    assert default_model_dir().parts[-2:] == ("torch-inception", "models")


@pytest.mark.parametrize("model", BUILT_IN.values(), ids=BUILT_IN)
def test_a_model_built_in_can_be_run_and_says_whose_it_is(model: Model) -> None:
    """Every layer reads what ran before it; the defaults exist; licence and origin are stated."""
    seen = {"picture"}
    for layer in model.layers:
        assert layer.name not in seen
        assert set(layer.inputs) <= seen
        seen.add(layer.name)

    assert {model.default_layer, model.content_layer} <= seen
    assert model.origin.license
    assert model.origin.attribution
    assert (model.origin.archive_sha256 != "") == (model.origin.kind == "package")
    assert (model.origin.download_bytes > 0) == (model.origin.kind != "file")
