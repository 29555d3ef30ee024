"""What can go wrong on the way to weights, beyond the errors in `dream_core.errors`.

HostFault
├── WeightsCorrupt
│   └── DownloadCorrupt     what arrived isn't what was asked for; nothing was kept
└── FolderUnwritable        the folder of models takes nothing more

"""

from pathlib import Path

from dream_core.errors import HostFault, WeightsCorrupt


class DownloadCorrupt(WeightsCorrupt):
    """An archive that isn't the one whose checksum the catalogue knows."""

    title = "Download corrupt"

    def __init__(self, what: str, found: str, expected: str) -> None:
        """Show both checksums."""
        HostFault.__init__(
            self,
            f"{what} has checksum {found[:12]}…, expected {expected[:12]}…; nothing of it was "
            "kept: fetch it again, or ask whoever runs the package index",
        )


class FolderUnwritable(HostFault):
    """The folder of models can't be written to."""

    code = "folder-unwritable"
    title = "The folder of models can't be written to"

    def __init__(self, folder: Path, error: OSError) -> None:
        """Say what the system said."""
        super().__init__(
            f"nothing can be kept in {folder}: {error.strerror or error}; "
            "free some space, or let DREAM_MODEL_DIR name a folder that you may write to"
        )
