"""What a service says about itself: every metric's name, and how log lines are made.

Metrics are declared here once; `/metrics` shows `REGISTRY`. Logs are events with fields, and what
identifies a person is masked before a line is written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TextIO

import msgspec
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from structlog.typing import EventDict, Processor, WrappedLogger

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

WORKER_RECORDS: Final = Counter(
    "clm_worker_records_total", "Records handled, by topic", ["topic"], registry=REGISTRY
)
WORKER_BATCH_SECONDS: Final = Histogram(
    "clm_worker_batch_seconds",
    "Time from reading a batch to its commit",
    ["topic"],
    buckets=_FAST,
    registry=REGISTRY,
)
WORKER_LAG: Final = Gauge(
    "clm_worker_lag_records",
    "Records of owned partitions that wait to be handled",
    ["topic"],
    registry=REGISTRY,
)
PARTITIONS_OWNED: Final = Gauge(
    "clm_partition_owned", "Partitions this process owns", ["topic"], registry=REGISTRY
)
RACES: Final = Counter(
    "clm_worker_races_total",
    "Batches decided again after a lost race",
    ["topic"],
    registry=REGISTRY,
)
RELAY_FACTS: Final = Counter("clm_relay_facts_total", "Facts published", registry=REGISTRY)
RELAY_PENDING: Final = Gauge(
    "clm_relay_pending",
    "Facts committed and not yet published, by partition",
    ["partition"],
    registry=REGISTRY,
)
DEAD_LETTERS: Final = Counter(
    "clm_dead_letters_total", "Dead letters written, by reason", ["reason"], registry=REGISTRY
)
ERASED_RECORDS: Final = Counter(
    "clm_erased_records_total",
    "Records passed over because the key that sealed them was deleted, by topic",
    ["topic"],
    registry=REGISTRY,
)
HTTP_REQUESTS: Final = Counter(
    "clm_http_requests_total",
    "Requests answered, by route and status",
    ["method", "route", "status"],
    registry=REGISTRY,
)
HTTP_SECONDS: Final = Histogram(
    "clm_http_request_seconds",
    "Time to answer a request, by route",
    ["route"],
    buckets=_FAST,
    registry=REGISTRY,
)
INGEST_EVENTS: Final = Counter(
    "clm_ingest_events_total", "Events received, by verdict", ["verdict"], registry=REGISTRY
)
PLAN_VIOLATIONS: Final = Counter(
    "clm_plan_violations_total",
    "Rules of tracking plans that events violated, by what became of it "
    "(observed, quarantined, dropped)",
    ["reaction"],
    registry=REGISTRY,
)
ENGAGEMENT_MESSAGES: Final = Counter(
    "clm_engagement_messages_total", "Planned messages, by fate", ["fate"], registry=REGISTRY
)
IDENTIFIERS_BLOCKED: Final = Counter(
    "clm_identifiers_blocked_total",
    "Identifiers that stand for nobody and were left out, by kind",
    ["kind"],
    registry=REGISTRY,
)
STAGE_CHANGES: Final = Counter(
    "clm_stage_changes_total", "Stage changes decided, by target", ["target"], registry=REGISTRY
)
TOUCHPOINTS: Final = Counter(
    "clm_touchpoints_total",
    "Touchpoints folded, by verdict (applied, repeated, late, erased, decision)",
    ["verdict"],
    registry=REGISTRY,
)
SNAPSHOTS: Final = Counter(
    "clm_history_snapshots_total",
    "People whose oldest touchpoints were folded into a snapshot",
    registry=REGISTRY,
)
TOUCHPOINTS_FOLDED_AWAY: Final = Counter(
    "clm_history_folded_away_total",
    "Touchpoints that a snapshot took the place of",
    registry=REGISTRY,
)
ERASURES: Final = Counter(
    "clm_erasures_total", "People erased on their own wish", registry=REGISTRY
)
WEBHOOK_DELIVERIES: Final = Counter(
    "clm_webhook_deliveries_total",
    "Tries to deliver a webhook, by outcome (delivered, retried, dead)",
    ["outcome"],
    registry=REGISTRY,
)
REFOLDS: Final = Counter(
    "clm_profile_refolds_total", "Profiles folded again from their history", registry=REGISTRY
)
STAGE_PEOPLE: Final = Gauge(
    "clm_stage_people",
    "People in each stage; every metrics process shows the same, so take the max, not the sum",
    ["workspace", "lifecycle", "stage"],
    registry=REGISTRY,
)
READY: Final = Gauge("clm_ready", "1 while the service is ready", registry=REGISTRY)

_CHATTY: Final = ("aiokafka", "alembic", "asyncio", "httpx", "httpcore", "uvicorn.error")

MASK: Final = "…"

PERSONAL: Final = frozenset({
    "address", "anonymous_id", "anonymousid", "authorization", "body", "cookie", "database_url",
    "email", "email_address", "first_name", "ip", "key", "last_name", "name_of_person",
    "password", "phone", "properties", "recipient", "secret", "token", "traits", "user_id",
    "userid", "write_key", "writekey",
})  # fmt: skip
"""Fields whose values never reach a log, whatever event carries them."""


def exposition() -> bytes:
    """Give all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)


def mask_personal(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask what identifies a person or opens a door, also one level down."""
    for field, value in event.items():
        if field.lower() in PERSONAL:
            event[field] = MASK
        elif isinstance(value, dict):
            event[field] = {k: MASK if str(k).lower() in PERSONAL else v for k, v in value.items()}
    return event


def configure(
    service: str,
    *,
    form: Literal["json", "console"] = "json",
    level: Literal["debug", "info", "warning", "error"] = "info",
    ids: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up logging for this process: structlog and the standard library's.

    Args:
        service: stands in every line.
        form: one JSON object a line, or readable text for a terminal.
        level: the least important level to write.
        ids: further fields of every line, for example the worker's id.
        stream: where to; standard output by default.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _constants({"service": service, **(ids or {})}),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        mask_personal,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(form),
            ],
        )
    )
    _route_standard_library(handler, level)


def _constants(fields: Mapping[str, str]) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for name, value in fields.items():
            event.setdefault(name, value)
        return event

    return add


def _renderers(form: Literal["json", "console"]) -> Sequence[Processor]:
    if form == "console":
        return [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    return [
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _to_json(event: EventDict, **_options: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def _route_standard_library(handler: logging.Handler, level: str) -> None:
    """Send the libraries' own log lines through the same formatter, and quieten the chatty ones."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
