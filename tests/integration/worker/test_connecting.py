import logging

import pytest
from kombu import Connection

from jobs.connection import broker_url
from jobs.settings import Settings
from worker.connecting import QuickConsumer


class Away(Connection):
    """A broker that is away until it has been asked so often; it tells how long it would wait."""

    def __init__(self, url: str, refusals: int) -> None:
        super().__init__(url)
        self.refusals, self.waits = refusals, []

    def ensure_connection(self, errback, **intervals):  # type: ignore[no-untyped-def]
        first, step, most = (intervals[f"interval_{name}"] for name in ("start", "step", "max"))
        for number in range(self.refusals):
            intervals["callback"]()
            self.waits.append(min(first + number * step, most))
            errback(OSError("refused"), self.waits[-1])
        return self


def test_a_broker_that_is_back_is_found_within_a_second(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """However long it was away; and an outage of minutes is one line in the log."""
    consumer = QuickConsumer.__new__(QuickConsumer)
    broker = Away(broker_url(settings), 300)

    with caplog.at_level(logging.WARNING):
        assert consumer.ensure_connected(broker) is broker

    assert max(broker.waits) <= 1
    assert broker.waits[0] < 0.5
    assert [line.name for line in caplog.records].count("worker.connecting") == 1
