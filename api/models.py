"""Models: which networks can dream, and at which layers."""

from fastapi import APIRouter

from api.dependencies import CatalogueDep, ModelDep
from api.documents import LayerList, ModelDocument, ModelList
from api.errors import NoSuchModel
from api.openapi import problems

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", responses=problems())
def list_models(catalogue: CatalogueDep) -> ModelList:
    """List every model, whether its weights are here, and under which licence."""
    return ModelList(models=[ModelDocument.of(model, catalogue) for model in catalogue])


@router.get("/{model}", responses=problems(NoSuchModel))
def read_model(model: ModelDep, catalogue: CatalogueDep) -> ModelDocument:
    """Tell about one model."""
    return ModelDocument.of(model, catalogue)


@router.get("/{model}/layers", responses=problems(NoSuchModel))
def list_layers(model: ModelDep) -> LayerList:
    """List the layers of a model, in network order: from edges to objects."""
    return LayerList.of(model)
