"""Metrics are named as Prometheus asks, and docs/reference/metrics.md is what the code says."""

import re
from pathlib import Path

import pytest

from api.meters import ALL, Meter
from api.metrics_reference import page

WRITTEN = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"

# What a name may end in, where it is no time or size: the plural of what is counted, or a state.
COUNTED = ("jobs", "iterations", "workers", "requests", "problems")
STATES = ("up", "busy", "paused", "info")
NOT_BASE = ("milliseconds", "ms", "minutes", "hours", "kilobytes", "megabytes", "mb", "percent")
SUFFIXES = ("_count", "_sum", "_bucket", "_created")


def test_the_reference_of_metrics_is_not_stale() -> None:
    """`python -P -m api.metrics_reference > docs/reference/metrics.md` writes it anew."""
    assert WRITTEN.read_text("utf-8") == page()


def test_a_name_means_one_thing() -> None:
    """No two metrics share one."""
    assert len({meter.name for meter in ALL}) == len(ALL)


@pytest.mark.parametrize("meter", ALL, ids=lambda meter: meter.name)
def test_a_metric_is_named_as_prometheus_asks(meter: Meter) -> None:
    """What `promtool check metrics` holds against: prefix, base unit, _total where it counts."""
    bare = meter.name.removesuffix("_total")
    words = bare.split("_")

    assert re.fullmatch(r"dream_[a-z]+(_[a-z]+)*", meter.name)
    assert (meter.kind == "counter") == meter.name.endswith("_total")
    assert words[-1] in ("seconds", "bytes", *COUNTED, *STATES)
    assert not set(words) & {*NOT_BASE, "counter", "gauge", "histogram", "total"}
    assert not bare.endswith(SUFFIXES)
    assert meter.kind != "histogram" or words[-1] == "seconds"
    assert not {"le", "quantile", "job", "instance"} & set(meter.labels)
    assert all(re.fullmatch("[a-z]+", label) for label in meter.labels)
    assert len(meter.help) > 10


def test_what_the_page_asks_for_exists() -> None:
    """Every metric that a query or a sentence names."""
    named = set(re.findall(r"\bdream_[a-z_]+", WRITTEN.read_text("utf-8")))
    known = {meter.name for meter in ALL}

    assert {re.sub("_bucket$", "", name) for name in named} <= known
