"""Which device there is: the one question about torch that the demo has."""


def kind(name: str) -> str:
    """Return cpu, cuda or mps for the name of a device; auto is the fastest here.

    Raises:
        DeviceMissing: it isn't here; lists those that are.
    """
    if name == "cpu":
        return name
    from dream_core.executors.device import resolve_device

    return resolve_device(name).type
