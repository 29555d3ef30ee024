"""What must be right before a room starts: each fault is one sentence with setting, value and fix.

Asked once, by whoever is started first. A room that a supervisor starts anew in the middle of the
night must live with a disk that has filled up meanwhile, or a Redis that is away.
"""

import errno
import tempfile

import redis

from jobs.connection import PROBE, connect, shown_url
from jobs.errors import BadSetting
from jobs.settings import Settings

OLDEST_REDIS = 7  # whose scripts say what they may do when it is full
_FULL = (errno.ENOSPC, errno.EDQUOT)


def check(settings: Settings, *, redis_must_answer: bool = False) -> None:
    """Return where the data folder and the Redis that the settings name can be used.

    Args:
        settings: of the process.
        redis_must_answer: whether one that is away is a fault, and not one that may come later.

    Raises:
        BadSetting: one of them can't.
    """
    if settings.parent_pid is None:
        _check_folder(settings)
        if not settings.embedded:
            _check_redis(settings, must_answer=redis_must_answer)


def _check_folder(settings: Settings) -> None:
    """Write into it: permissions alone don't tell (root, quotas, mounts)."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data_dir, buffering=0) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        way = "free space there" if error.errno in _FULL else "give the service access to it"
        reason = f"it can't be written ({error.strerror}); {way}, or name another folder"
        raise BadSetting("DREAM_DATA_DIR", settings.data_dir, reason, "data_dir") from error


def _check_redis(settings: Settings, *, must_answer: bool) -> None:
    try:
        told = connect(settings, PROBE).info()
    except redis.AuthenticationError as error:
        raise _refused(settings, error) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        if must_answer and not isinstance(error, redis.exceptions.BusyLoadingError):
            raise _bad_url(settings, f"nothing answers there ({error}); start it first") from error
        return
    except redis.RedisError as error:
        raise _bad_url(settings, f"what answers there is no Redis ({error})") from error
    policy, version = told["maxmemory_policy"], str(told["redis_version"])
    if policy != "noeviction":
        reason = f"its maxmemory-policy is {policy}, which throws dreams away when it is full"
        raise _bad_url(settings, f"{reason}; set it to noeviction there")
    if int(version.partition(".")[0]) < OLDEST_REDIS:
        raise _bad_url(settings, f"it is Redis {version}; run Redis or Valkey {OLDEST_REDIS} there")


def _bad_url(settings: Settings, reason: str) -> BadSetting:
    fix = f"{reason}, or name another Redis"
    return BadSetting("DREAM_REDIS_URL", shown_url(settings), fix, "redis_url")


def _refused(settings: Settings, error: redis.AuthenticationError) -> BadSetting:
    """Return what to tell of a password: neither it nor the address it may stand in is shown."""
    name, where = "DREAM_REDIS_PASSWORD", shown_url(settings)
    reason = f"Redis at {where} says: {str(error).rstrip('.')}; set the one it was started with"
    given = "…" if settings.redis_password else ""
    return BadSetting(name, given, f"{reason} (requirepass)", "redis_password")
