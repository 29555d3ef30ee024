import base64
import json

import redis
from celery import Celery

from jobs.queue import lists, publish


def test_a_message_carries_an_id_and_its_version_and_no_more(
    app: Celery, client: redis.Redis
) -> None:
    """Everything else is the ledger's: a message can be late, double or lost."""
    publish(app, "01KAT", "bulk")

    (message,) = client.lrange("dreams.bulk\x06\x163", 0, -1)
    args, kwargs, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    assert (args, kwargs) == ([], {"message": {"version": 1, "id": "01KAT"}})


def test_only_what_goes_ahead_is_on_the_first_step(app: Celery, client: redis.Redis) -> None:
    """Kombu asks for all of step 0 before any of step 3, where ordinary work takes its turns."""
    publish(app, "01KAT", "interactive")
    publish(app, "01KAT", "interactive", ahead=True)

    assert [client.llen(key) for key in lists("interactive")] == [1, 1, 0, 0]
