"""In what form a picture is looked at: whole, in bands or in tiles. Needs no torch."""

from dream_core.forms.form import Form
from dream_core.forms.parts import Part, Reach, parts, reaches
from dream_core.forms.storage import Storage

__all__ = ["Form", "Part", "Reach", "Storage", "parts", "reaches"]
