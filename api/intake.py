"""What a posted form asks for, and whether this deployment can run it."""

from collections.abc import Mapping

from api.errors import ImageSizeAboveLimit, PictureMissing
from api.form import Form
from api.terms import Kind, SizedTerms, Terms, read_terms
from dream_core.catalogue import Catalogue
from dream_core.errors import FieldFault, InvalidSpec, UnknownField, WeightsMissing
from dream_core.flat import flat_names, parse_flat
from dream_core.model import Model
from dream_core.picture import LIMITS, measure
from dream_core.spec import DreamSpec, unknown_field

SPEC = "spec"


def read_spec(
    form: Form, catalogue: Catalogue, max_image_size: int, kind: type[Terms] = Terms
) -> DreamSpec:
    """Return the spec that a form asks for, when this deployment can run it.

    What stands beside it in the form are the fields of `kind`.

    Raises:
        InvalidSpec, UnknownField, UnknownModel, UnknownLayer: of the fields.
        ImageSizeAboveLimit, WeightsMissing: of this deployment.
    """
    names = (*flat_names(), *kind.model_fields)
    unknown = [name for name, _ in form.texts if name not in (*names, SPEC)]
    if unknown:
        raise UnknownField(unknown_field(name, names) for name in dict.fromkeys(unknown))
    flat = [(name, text) for name, text in form.texts if name in flat_names()]
    # A web page, /docs among them, sends the fields that nobody filled in. Alone, an empty spec is
    # more likely a script's variable that was never set.
    specs = [text for name, text in form.texts if name == SPEC and (text or not flat)]
    if specs and (flat or len(specs) > 1):
        raise InvalidSpec([_beside(specs, dict(flat))])
    spec = DreamSpec.parse_json(specs[0], catalogue) if specs else parse_flat(flat, catalogue)
    if spec.image_size > max_image_size:
        raise ImageSizeAboveLimit(spec.image_size, max_image_size)
    if weights_state(catalogue[spec.model], catalogue) == "missing":
        raise WeightsMissing(spec.model, catalogue.folder, way_out(catalogue[spec.model]))
    return spec


def read_post_terms(form: Form, kind: type[Kind]) -> Kind:
    """Return what a form says beside its spec.

    Raises:
        InvalidSpec: of the fields.
    """
    return read_terms(kind, [pair for pair in form.texts if pair[0] in kind.model_fields])


def read_size(form: Form, terms: SizedTerms) -> tuple[int, int]:
    """Return (height, width) of the source: of the picture by its header, or as the form says.

    Raises:
        InvalidSpec: half a size, or one beside a picture.
        PictureMissing: neither picture nor size.
        PictureRefused: it could not be dreamed on.
    """
    given = {name: getattr(terms, name) for name in ("width", "height")}
    named = [name for name, length in given.items() if length is not None]
    if form.picture is not None and named:
        message = f"{named[0]} is given beside image; give one of them"
        raise InvalidSpec([FieldFault(named[0], given[named[0]], message)])
    if form.picture is not None:
        return measure(form.picture)
    if not named:
        raise PictureMissing("the form has neither image nor width and height")
    if terms.width is None or terms.height is None:
        missing = "width" if terms.width is None else "height"
        message = f"{named[0]} is given without {missing}; give both"
        raise InvalidSpec([FieldFault(missing, None, message)])
    LIMITS.check(terms.height, terms.width)
    return terms.height, terms.width


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
