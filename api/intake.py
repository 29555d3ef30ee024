"""What a posted form asks for, and whether this deployment can run it."""

from collections.abc import Mapping

from api.errors import ImageSizeAboveLimit
from api.form import Form
from dream_core.catalogue import Catalogue
from dream_core.errors import FieldFault, InvalidSpec, WeightsMissing
from dream_core.flat import parse_flat
from dream_core.model import Model
from dream_core.spec import DreamSpec

SPEC = "spec"


def read_spec(form: Form, catalogue: Catalogue, max_image_size: int) -> DreamSpec:
    """Return the spec that a form asks for, when this deployment can run it.

    Raises:
        InvalidSpec, UnknownField, UnknownModel, UnknownLayer: of the fields.
        ImageSizeAboveLimit, WeightsMissing: of this deployment.
    """
    specs = [text for name, text in form.texts if name == SPEC]
    flat = [(name, text) for name, text in form.texts if name != SPEC]
    if specs and (flat or len(specs) > 1):
        raise InvalidSpec([_beside(specs, dict(flat))])
    spec = DreamSpec.parse_json(specs[0], catalogue) if specs else parse_flat(flat, catalogue)
    if spec.image_size > max_image_size:
        raise ImageSizeAboveLimit(spec.image_size, max_image_size)
    if weights_state(catalogue[spec.model], catalogue) == "missing":
        raise WeightsMissing(spec.model, catalogue.folder, way_out(catalogue[spec.model]))
    return spec


def weights_state(model: Model, catalogue: Catalogue) -> str:
    """Return `present`, `pullable` (fetched before the first dream) or `missing`."""
    if catalogue.weights(model.name).is_file():
        return "present"
    return "missing" if model.origin.kind == "file" else "pullable"


def way_out(model: Model) -> str:
    """Return how the weights of a model come to this machine."""
    if model.origin.kind == "file":
        return f"run `dream models add {model.name}` again with its files"
    return f"run `dream models pull {model.name}` where there is a network"


def _beside(specs: list[str], flat: Mapping[str, str]) -> FieldFault:
    if len(specs) > 1:
        return FieldFault(SPEC, None, "spec is given more than once; give it once")
    names = ", ".join(name[:40] for name in list(flat)[:5])
    message = f"spec is given beside {names}; put everything into spec, or leave spec out"
    return FieldFault(SPEC, None, message)
