"""What Prometheus may ask for."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from grap_seq.prep.drift import Drift
from grap_seq.prep.shares import Count, Name
from grap_seq.terminal import say

# Events after which shares forget what was before: they are of as many to twice as many.
RECENT = 10_000
LATENCY = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
FIELD = ("field", "kind")


class Metrics:
    """Counters of the service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.seconds = Histogram(
            "grap_seq_request_seconds",
            "Time from a request to its answer",
            ("path", "status"),
            buckets=LATENCY,
            registry=registry,
        )
        self._requests = Histogram(
            "grap_seq_pass_requests",
            "Requests that share a forward pass",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200),
            registry=registry,
        )
        self._events = Counter("grap_seq_values", "Values of events", FIELD, registry=registry)
        self._found = Counter(
            "grap_seq_values_found",
            "Values that are rare, missing or clipped",
            FIELD,
            registry=registry,
        )
        self._share = Gauge(
            "grap_seq_share", f"Their share in the last {RECENT:,}", FIELD, registry=registry
        )
        self._training = Gauge(
            "grap_seq_share_training", "Their share in training", FIELD, registry=registry
        )
        self._outside = Gauge(
            "grap_seq_share_outside",
            "1 where the share is outside of training's range",
            FIELD,
            registry=registry,
        )
        self._before: dict[Name, Count] = {}
        self._now: dict[Name, Count] = {}
        self._told: set[Name] = set()

    def passed(self, requests: int, drift: Drift) -> None:
        """A forward pass: how many requests shared it, and what their events were like."""
        self._requests.observe(requests)
        self._now = _sum(self._now, drift.counts)
        recent = Drift(_sum(self._before, self._now), drift.training, drift.state)
        for name, count in drift.counts.items():
            self._events.labels(*name).inc(count.events)
            self._found.labels(*name).inc(count.found)
        outside = set(recent.outside)
        for name, count in recent.counts.items():
            self._share.labels(*name).set(count.share)
            self._outside.labels(*name).set(name in outside)
            if drift.training is not None:
                self._training.labels(*name).set(drift.training[name].share)
        if outside - self._told:
            say(*(f"warning: {sentence}" for sentence in recent.sentences()))
        self._told = outside
        if max(count.events for count in self._now.values()) >= RECENT:
            self._before, self._now = self._now, {}

    def text(self) -> bytes:
        """In Prometheus' format."""
        found: bytes = generate_latest(self.registry)
        return found


def _sum(one: Mapping[Name, Count], other: Mapping[Name, Count]) -> dict[Name, Count]:
    return {name: one[name] + count if name in one else count for name, count in other.items()}
