"""Histograms, and the listener of health and metrics."""

import asyncio
import itertools

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as TheirHistogram
from prometheus_client.parser import text_string_to_metric_families

from rpc.metrics import Histogram, process_registry
from rpc.metrics_listener import serving_metrics

BUCKETS = (0.5, 1.0, 4.0)


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the values in the text of a registry, without the times of creation."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.1, 0.5, 0.6, 1, 3, 4, 5]))))
def test_a_histogram_shows_the_same_as_prometheus_client_s(
    observed: list[tuple[str, float]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("x_seconds", "X.", ("of",), BUCKETS)
    ours.register(histogram)
    other = TheirHistogram("x_seconds", "X.", ["of"], buckets=BUCKETS, registry=theirs)
    for of, value in observed:
        histogram.observe((of,), value)
        other.labels(of).observe(value)
    assert samples(ours) == pytest.approx(samples(theirs))


def test_a_histogram_without_labels_shows_its_only_series() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("x", "X.", (), (1.0,))
    registry.register(histogram)
    histogram.observe((), 3)
    assert samples(registry) == {
        ("x_bucket", (("le", "1.0"),)): 0,
        ("x_bucket", (("le", "+Inf"),)): 1,
        ("x_count", ()): 1,
        ("x_sum", ()): 3,
    }


@pytest.mark.parametrize(
    ("path", "is_ready", "response"),
    [
        ("/healthz", True, (200, '{"status":"alive"}')),
        ("/healthz", False, (200, '{"status":"alive"}')),
        ("/readyz", True, (200, '{"status":"ready"}')),
        ("/readyz", False, (503, '{"status":"not ready"}')),
        ("/", True, (404, "404: Not Found")),
    ],
)
async def test_health_is_served(path: str, is_ready: bool, response: tuple[int, str]) -> None:
    async def readiness() -> bool:
        return is_ready

    async with (
        serving_metrics(("127.0.0.1", 0), process_registry(), readiness) as url,
        aiohttp.ClientSession() as session,
        session.get(url + path) as got,
    ):
        assert (got.status, await got.text()) == response


async def test_metrics_are_read_while_values_are_observed() -> None:
    histogram = Histogram("x_seconds", "X.", ("n",), BUCKETS)
    url_and_session = serving_metrics(("::1", 0), process_registry(histogram), _ready)
    async with url_and_session as url, aiohttp.ClientSession() as session:
        reading = asyncio.ensure_future(session.get(url + "/metrics"))
        for n in itertools.count():
            histogram.observe((str(n % 500),), 1.0)
            await asyncio.sleep(0)
            if reading.done():
                break
        async with reading.result() as got:
            assert got.status == 200
            assert got.headers["Content-Type"].startswith("text/plain")
            text = await got.text()
    assert "process_cpu_seconds_total" in text
    assert "python_info" in text


async def _ready() -> bool:
    return True


async def test_without_an_address_nothing_is_served() -> None:
    async with serving_metrics(None, process_registry(), _ready) as url:
        assert url == ""


async def test_a_taken_address_is_an_error() -> None:
    async with serving_metrics(("127.0.0.1", 0), process_registry(), _ready) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            async with serving_metrics(("127.0.0.1", port), process_registry(), _ready):
                pass
