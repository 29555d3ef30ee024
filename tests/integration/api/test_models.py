"""What can be asked for: every model, its layers, whether its weights are here."""

from fastapi.testclient import TestClient

from dream_core.catalogue import Catalogue


def test_every_model_is_listed_with_its_weights_and_licence(api: TestClient) -> None:
    """What a user may do with a picture depends on it, so it stands beside the name."""
    models = {model["name"]: model for model in api.get("/models").json()["models"]}

    assert list(models) == [model.name for model in Catalogue.load()]
    assert models["vgg19"]["weights"]["state"] == "pullable"
    assert "dream models pull vgg19" in models["vgg19"]["weights"]["way_out"]
    assert set(models["vgg19"]["weights"]) >= {"license", "attribution", "source"}
    assert api.get("/models/vgg19").json() == models["vgg19"]


def test_weights_that_are_here_are_told(api: TestClient) -> None:
    """The very file that a worker would load."""
    weights = Catalogue.load().weights("vgg19")
    weights.parent.mkdir(parents=True)
    weights.touch()

    told = api.get("/models/vgg19").json()["weights"]

    assert (told["state"], told["way_out"]) == ("present", None)


def test_layers_are_listed_in_network_order_with_their_stride(api: TestClient) -> None:
    """Each name can be asked for; the stride says how coarse it sees."""
    layers = api.get("/models/vgg19/layers").json()["layers"]
    relu5_1 = next(layer for layer in layers if layer["name"] == "relu5_1")

    assert [layer["name"] for layer in layers] == list(Catalogue.load()["vgg19"].layer_names)
    assert relu5_1 == {"name": "relu5_1", "kind": "relu", "channels": 512, "stride": 16}
