from pathlib import Path

import pytest

from cli.errors import BadOption
from cli.local.classic import device, model_files, spec_of
from cli.local.classic_flags import Flags, numbered, parse
from cli.main import run
from dream_core.catalogue import Catalogue
from dream_core.errors import UnknownLayer


def flags(*more: str) -> Flags:
    """Return the flags of a command line that names its picture and `more`."""
    return parse(("-content_image", "x.png", *more))


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """Give the built-in models, no weights."""
    return Catalogue.load(tmp_path)


def test_the_defaults_are_those_of_2015() -> None:
    """Who typed little in 2015 gets the same dream today."""
    asked = flags()

    assert asked.layers == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    assert (asked.image_size, asked.num_iterations, asked.learning_rate) == (512, 1000, 10)
    assert (asked.acid_dose, asked.style_scale, asked.pooling) == (1000, 1, "max")
    assert (asked.print_iter, asked.save_iter, asked.seed, asked.gpu) == (50, 100, -1, -1)
    assert asked.output_image == Path("out.png")
    assert not asked.normalize_gradients


@pytest.mark.parametrize("dose", ["-5", "-1e3", "-.5", "1e-2"])
def test_a_dose_may_be_negative_in_every_spelling(dose: str) -> None:
    """A value that starts with a dash is still the value of the flag before it."""
    assert flags("-acid_dose", dose, "-normalize_gradients").acid_dose == float(dose)


def test_layers_come_in_any_order(catalogue: Catalogue) -> None:
    """The program skipped layers out of network order without a word."""
    asked = flags("-style_layers", "relu5_1, relu2_1")

    layers = spec_of(asked, catalogue["vgg19"], catalogue).layers

    assert layers == {"relu2_1": 1000, "relu5_1": 1000}


def test_an_unknown_layer_is_refused_with_the_nearest_names(catalogue: Catalogue) -> None:
    """The program ran without it."""
    with pytest.raises(UnknownLayer, match="relu5_1"):
        spec_of(flags("-style_layers", "relu5_5"), catalogue["vgg19"], catalogue)


def test_content_weight_acts_only_when_it_is_given(catalogue: Catalogue) -> None:
    """The program took it, 5e0 by default, and did nothing with it."""
    without = spec_of(flags(), catalogue["vgg19"], catalogue)
    given = spec_of(flags("-content_weight", "2e0"), catalogue["vgg19"], catalogue)

    assert (without.content_weight, without.content_layers) == (0, ())
    assert (given.content_weight, given.content_layers) == (2, ("relu4_2",))


def test_the_old_scaling_and_rounding_are_asked_for(catalogue: Catalogue) -> None:
    """Its files are the 2015 program's to one step of 255."""
    spec = spec_of(flags(), catalogue["vgg19"], catalogue)

    assert (spec.resampler, spec.rounding) == ("classic", "truncate")


def test_seed_minus_one_is_another_one_each_time(catalogue: Catalogue) -> None:
    """The program then left its generator unseeded."""
    seeds = {spec_of(flags(), catalogue["vgg19"], catalogue).seed for _ in range(3)}

    assert len(seeds) > 1
    assert spec_of(flags("-seed", "7"), catalogue["vgg19"], catalogue).seed == 7


@pytest.mark.parametrize(("gpu", "name"), [("-1", "cpu"), ("0", "cuda:0"), ("1", "cuda:1")])
def test_gpu_names_a_device(gpu: str, name: str) -> None:
    """-1 is the CPU, N the GPU of that number."""
    assert device(flags("-gpu", gpu)) == name


@pytest.mark.parametrize(
    ("path", "iteration", "expected"),
    [
        ("out.png", 1, "out_01.png"),
        ("a.b.png", 2, "a.b_02.png"),
        ("folder.x/out.png", 100, "folder.x/out_100.png"),
    ],
)
def test_numbers_stand_before_the_last_dot(path: str, iteration: int, expected: str) -> None:
    """Two digits at least."""
    assert numbered(Path(path), iteration) == Path(expected)


@pytest.mark.parametrize(
    ("save_iter", "saved"),
    [("3", {3: "out_03.png", 6: "out_06.png", 9: "out.png"}), ("0", {9: "out.png"})],
)
def test_the_last_update_writes_the_plain_name_only(save_iter: str, saved: dict[int, str]) -> None:
    """Even where save_iter divides its number; 0 saves nothing else."""
    asked = flags("-num_iterations", "9", "-save_iter", save_iter)

    files = {iteration: asked.saved_as(iteration) for iteration in range(1, 10)}

    assert {n: str(file) for n, file in files.items() if file} == saved


def test_the_prototxt_beside_the_caffemodel_is_found(tmp_path: Path) -> None:
    """-model_file alone is enough where the two lie side by side."""
    weights, prototxt = tmp_path / "net.caffemodel", tmp_path / "net_deploy.prototxt"
    weights.touch()
    prototxt.touch()

    assert model_files(flags("-model_file", str(weights))) == (weights, prototxt)


def test_the_models_of_an_old_checkout_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program's own default was a file under models/ of the folder it was started in."""
    (tmp_path / "models").mkdir()
    for name in ("VGG_ILSVRC_19_layers.caffemodel", "VGG_ILSVRC_19_layers_deploy.prototxt"):
        (tmp_path / "models" / name).touch()
    assert model_files(flags()) is None

    monkeypatch.chdir(tmp_path)

    found = model_files(flags())
    assert found is not None
    assert [path.suffix for path in found] == [".caffemodel", ".prototxt"]


def test_a_caffemodel_that_is_not_there_is_named() -> None:
    """Before anything is guessed about its prototxt."""
    with pytest.raises(BadOption, match=r"nope\.caffemodel', but there is no such file"):
        model_files(flags("-model_file", "nope.caffemodel"))


def test_a_prototxt_without_a_caffemodel_says_what_is_missing() -> None:
    """Half a network is nobody's wish."""
    with pytest.raises(BadOption, match="no -model_file"):
        model_files(flags("-proto_file", "net.prototxt"))


@pytest.mark.parametrize(
    "wrong",
    [["-acid_doze", "3"], ["-pooling", "median"], ["-gpu", "first"], ["-image_size"]],
)
def test_wrong_flags_are_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, a sentence, and where the list of flags is."""
    assert run(["classic", "-content_image", "x.png", *wrong]) == 2
    assert "`dream classic -help` lists all flags" in capsys.readouterr().err


def test_help_lists_every_flag_and_what_became_of_content_weight(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The one flag that now does something says so."""
    assert run(["classic", "-help"]) == 0

    text = " ".join(capsys.readouterr().out.split())
    for name in Flags.__dataclass_fields__:
        assert f"-{name}" in text
    assert "here it acts when it is given" in text
