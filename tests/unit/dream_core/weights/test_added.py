"""A network that a user adds is in the catalogue at once, and can't take it down."""

import logging
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from dream_core.catalogue import Catalogue
from dream_core.errors import ModelRefused
from dream_core.model import Model
from dream_core.spec import DreamSpec
from dream_core.weights import add, ensure, read, verify
from dream_core.weights.caffe import read_caffe
from dream_core.weights.errors import FolderUnwritable

GOLDEN = Path(__file__).parents[3] / "golden" / "models"
WEIGHTS, PROTOTXT = GOLDEN / "thin_vgg19.caffemodel", GOLDEN / "thin_vgg19.prototxt"


def test_an_added_network_can_be_asked_for_by_name(tmp_path: Path) -> None:
    """Catalogue, spec and weights know it from the next look on."""
    model = add("my-vgg_1.0", WEIGHTS, PROTOTXT, tmp_path)

    catalogue = Catalogue.load(tmp_path)
    spec = DreamSpec.model_validate({"model": "my-vgg_1.0"}, context={"catalogue": catalogue})
    assert catalogue["my-vgg_1.0"] == model
    assert spec.layers == {"relu5_1": 1000.0}
    assert ensure(model, tmp_path) == catalogue.weights("my-vgg_1.0")
    assert verify(model, tmp_path) == model.weights_sha256
    _, tensors = read_caffe(WEIGHTS, PROTOTXT)
    for name, tensor in read(model, tmp_path).items():
        assert_array_equal(tensor, tensors[name])


@pytest.mark.parametrize(
    "name", ["", "UPPER", "a/b", "..", ".hidden", "-option", "ä", "a" * 65, "two words", "a\n"]
)
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    """It becomes a folder, an option's value and part of an address."""
    with pytest.raises(ModelRefused, match="is no name for a model"):
        add(name, WEIGHTS, PROTOTXT, tmp_path)

    assert not list(tmp_path.iterdir())


def test_the_names_that_come_with_the_program_cannot_be_had(tmp_path: Path) -> None:
    """vgg19 means the same network on every machine."""
    with pytest.raises(ModelRefused, match="comes with the program"):
        add("vgg19", WEIGHTS, PROTOTXT, tmp_path, replace=True)


def test_the_name_kept_for_oxfords_file_can(tmp_path: Path) -> None:
    """vgg19_caffe is in the catalogue for the file that only its user has."""
    model = add("vgg19_caffe", WEIGHTS, PROTOTXT, tmp_path)

    assert Catalogue.load(tmp_path)["vgg19_caffe"] == model
    assert read(model, tmp_path)["conv1_1.weight"].shape == (8, 3, 3, 3)


def test_a_folder_that_takes_nothing_is_told(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "models").write_text("in the way")

    with pytest.raises(FolderUnwritable, match="nothing can be kept in"):
        add("mine", WEIGHTS, PROTOTXT, tmp_path / "models")


def test_a_name_is_taken_over_only_on_purpose(tmp_path: Path) -> None:
    """A second network by one name needs `replace`."""
    add("mine", WEIGHTS, PROTOTXT, tmp_path)

    with pytest.raises(ModelRefused, match="use --force to replace it"):
        add("mine", WEIGHTS, PROTOTXT, tmp_path)

    add("mine", GOLDEN / "thin_vgg19_layer.caffemodel", PROTOTXT, tmp_path, replace=True)
    assert Catalogue.load(tmp_path)["mine"].origin.name == "thin_vgg19_layer.caffemodel"


def test_a_refused_file_leaves_no_model_behind(tmp_path: Path) -> None:
    """Half a model would be worse than none."""
    with pytest.raises(ModelRefused):
        add("mine", PROTOTXT, PROTOTXT, tmp_path)

    assert "mine" not in Catalogue.load(tmp_path)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b"\xff\xfe", b'{"version": 2}'])
def test_a_broken_document_is_left_out_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """One bad file must not take the catalogue down, nor fill the log at every look."""
    add("good", WEIGHTS, PROTOTXT, tmp_path)
    broken = tmp_path / "broken" / "model.json"
    broken.parent.mkdir()
    broken.write_bytes(content)

    with caplog.at_level(logging.WARNING):
        Catalogue.load(tmp_path)
        catalogue = Catalogue.load(tmp_path)

    assert "good" in catalogue
    assert "vgg19" in catalogue
    assert "broken" not in catalogue
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(broken) in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"name": "other"}, {"default_layer": "relu9_9"}, {"content_layer": "relu9_9"}]
)
def test_a_document_at_odds_with_itself_is_left_out(tmp_path: Path, wrong: dict[str, str]) -> None:
    """Its name is its folder's, its layers are there."""
    model = add("mine", WEIGHTS, PROTOTXT, tmp_path)
    document = tmp_path / "mine" / "model.json"

    document.write_text(model.model_copy(update=wrong).model_dump_json())

    catalogue = Catalogue.load(tmp_path)
    assert "mine" not in catalogue
    assert "other" not in catalogue


def test_a_document_does_not_replace_a_network_of_the_program(tmp_path: Path, model: Model) -> None:
    """Whatever lies in its folder, vgg19 stays what it is."""
    home = tmp_path / "vgg19"
    home.mkdir()
    forged = model.model_copy(update={"name": "vgg19"})
    (home / "model.json").write_text(forged.model_dump_json())

    assert Catalogue.load(tmp_path)["vgg19"] == Catalogue.load(tmp_path / "none")["vgg19"]
