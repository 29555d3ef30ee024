"""The queue: Celery carries a job's id from API to worker, and no more than that.

A message is gone when a worker has taken it. What has become of the job is the ledger's to know: a
message that comes twice or late is harmless, one that is lost is sent again.
"""

from functools import partial

from celery import Celery
from kombu import Queue

from jobs.connection import WORKER, Patience, broker_url
from jobs.ledger import Publish
from jobs.record import QUEUES, VERSION
from jobs.settings import Settings

TASK = "torch_inception.dream"

# Redis is asked for all queues of the first step, then all of the next: 0 comes first. Ordinary
# work of both queues is on one step, so that within it they take turns and bulk always moves.
AHEAD, ORDINARY = 0, 3
STEPS = [0, 3, 6, 9]


def celery_app(settings: Settings, patience: Patience = WORKER) -> Celery:
    """Return the Celery app of both sides; only a worker gives it the task itself.

    A connection that is silent for longer than `patience` is taken for dead. Redis answers a
    worker's wait for a message far sooner.
    """
    app = Celery("torch_inception", broker=broker_url(settings), set_as_current=False)
    app.conf.update(
        # no_ack: a worker takes a message and writes nothing, so a full Redis stops none.
        task_queues=[Queue(name(each), routing_key=name(each), no_ack=True) for each in QUEUES],
        task_default_queue=name(QUEUES[0]),
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        worker_consumer="worker.connecting:QuickConsumer",
        worker_pool="threads",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # hold no message beyond the job that runs
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "priority_steps": STEPS,
            "queue_order_strategy": "round_robin",
            "visibility_timeout": 3600,
            "socket_timeout": patience.message_s,
            "socket_connect_timeout": min(patience.message_s, 5),
            "health_check_interval": 15,
            "retry_on_timeout": not patience.silence_is_final,
        },
        # A POST doesn't wait for a Redis that is away: the ledger sends the job later.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1},
    )
    return app


def name(queue: str) -> str:
    """Return what Celery and its tools call a queue."""
    return f"dreams.{queue}"


def lists(queue: str) -> list[str]:
    """Return the keys that hold a queue's messages: kombu keeps a list a priority step."""
    return [name(queue) if step == 0 else f"{name(queue)}\x06\x16{step}" for step in STEPS]


def publish(app: Celery, job_id: str, queue: str, *, ahead: bool = False) -> None:
    """Send a job's id to the workers; `ahead`: before all that wait in its queue."""
    app.send_task(
        TASK,
        kwargs={"message": {"version": VERSION, "id": job_id}},
        queue=name(queue),
        # A message without one counts as 0, and send_task doesn't ask for task_default_priority.
        priority=AHEAD if ahead else ORDINARY,
        ignore_result=True,
    )


def publisher(app: Celery) -> Publish:
    """Return `publish` as the ledger asks for it."""
    return partial(publish, app)
