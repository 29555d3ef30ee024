"""Which torch-inception this is: one answer for the API, the worker and the command line."""

from importlib import metadata

UNKNOWN = "unknown"  # run from a checkout that was never installed


def version() -> str:
    """Return the installed version, `unknown` where there is none."""
    try:
        return metadata.version("torch-inception")
    except metadata.PackageNotFoundError:
        return UNKNOWN
