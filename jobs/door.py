"""The API's door as a deployer sets it: its key, the names it answers to, whom it trusts.

Whatever is wrong is said in one sentence before anything starts.
"""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from jobs.errors import BadSetting

KEY, KEY_FILE = "DREAM_API_KEY", "DREAM_API_KEY_FILE"
MAKE_KEY: Final = "openssl rand -base64 32"
SHORTEST_KEY, LONGEST_KEY = 16, 512  # characters; what MAKE_KEY makes has 44
_KEY: Final = re.compile(r"[!-~]*")  # what a header can carry as one word
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(:[0-9]{0,5})?")
_ORIGIN: Final = re.compile(r"https?://(?P<authority>[^/?#@]+)")


def read_key(key: SecretStr | None, file: Path | None) -> SecretStr | None:
    """Return the key that is asked for, None where the door is open.

    Raises:
        BadSetting: both are given, or what is given is no key.
    """
    if key and file:
        raise BadSetting(KEY_FILE, file, f"{KEY} is set too; leave one of them out")
    if file:
        return _checked(_read(file), KEY_FILE, file)
    return _checked(key.get_secret_value(), KEY, "…") if key else None


def _read(file: Path) -> str:
    try:
        with file.open("rb") as text:
            # Of a disk named by mistake no more is read than tells that it is no key.
            return text.read(2 * LONGEST_KEY).decode("latin-1")
    except OSError as error:
        reason = f"it can't be read ({error.strerror}); make one: {MAKE_KEY} > {file}"
        raise BadSetting(KEY_FILE, file, reason) from error


def _checked(text: str, name: str, shown: object) -> SecretStr:
    key = text.strip()
    if not _KEY.fullmatch(key):
        reason = "a key is one line of visible ASCII characters without spaces"
    elif not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        reason = (
            f"the key has {len(key)} characters, from {SHORTEST_KEY} to {LONGEST_KEY} are taken"
        )
    else:
        return SecretStr(key)
    raise BadSetting(name, shown, f"{reason}; make one: {MAKE_KEY}")


def loopback(host: str) -> bool:
    """Whether only this machine can mean itself by that name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(authority: str) -> str | None:
    """Return the name or address in a Host header, in its one spelling; None where it is none."""
    found = _AUTHORITY.fullmatch(authority)
    try:
        return host(found["host"]) if found else None
    except ValueError:
        return None


def host(text: str) -> str:
    """Return a host's name or address in its one spelling, without port.

    Raises:
        ValueError: it is neither.
    """
    name = text.lower().removesuffix(".")
    if _NAME.fullmatch(name):
        return name
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return ipaddress.IPv6Address(inner).compressed
    except ValueError as error:
        reason = "give names or addresses, without scheme and port"
        raise ValueError(f"'{text}' is neither name nor address; {reason}") from error


def origin(text: str) -> str:
    """Return the origin of web pages as a browser writes it.

    Raises:
        ValueError: it is none, or it stands for all of them.
    """
    found = _ORIGIN.fullmatch(text.lower())
    if found is None or host_of(found["authority"]) is None:
        raise ValueError(
            f"'{text}' is no origin; give https://name or http://name:port, nothing after"
        )
    return text.lower()


def network(text: str) -> str:
    """Return an address or a network of them.

    Raises:
        ValueError: it is neither, or all there are.
    """
    way_out = "give a proxy's address, or a network as 172.16.0.0/12"
    try:
        found = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is no address; {way_out}") from error
    if found.prefixlen == 0:
        raise ValueError(f"'{text}' is everybody; {way_out}")
    return str(found)


def listed(text: str | None) -> tuple[str, ...]:
    """Return what stands between the commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def each(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """Return a check of a list with commas from that of one of its parts; None for no part."""
    return lambda text: ",".join(check(part) for part in listed(text)) or None
