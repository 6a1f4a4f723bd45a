"""Telemetry: lines that machines read, without what identifies a person."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator

import pytest
import structlog

from clm_common import telemetry


@pytest.fixture
def logging_as_it_was() -> Generator[None]:
    """Put logging back after a test configured it."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("logging_as_it_was")
def test_a_line_is_one_json_object_with_the_ids_of_its_batch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry.configure("ingest", ids={"worker": "w1"})

    with structlog.contextvars.bound_contextvars(partition=3):
        structlog.get_logger().info("batch.committed", records=7)

    (line,) = lines(capsys)
    assert line.items() >= {
        "event": "batch.committed", "service": "ingest", "worker": "w1", "partition": 3,
        "records": 7, "level": "info",
    }.items()  # fmt: skip


@pytest.mark.usefixtures("logging_as_it_was")
def test_what_identifies_a_person_never_reaches_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("ingest")

    structlog.get_logger().info(
        "touchpoint.refused",
        email="jane@example.com",
        userId="jane",
        write_key="wk_1",
        profile="7f3a",
        seen={"anonymous_id": "jane", "count": 2},
    )

    (line,) = lines(capsys)
    assert "jane" not in str(line)
    assert "wk_1" not in str(line)
    assert line["profile"] == "7f3a"
    assert line["seen"] == {"anonymous_id": telemetry.MASK, "count": 2}


@pytest.mark.usefixtures("logging_as_it_was")
def test_libraries_log_through_the_same_formatter(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("ingest")

    logging.getLogger("some.library").warning("lost %s", "touch")
    logging.getLogger("aiokafka").info("chatter")

    (line,) = lines(capsys)
    assert line.items() >= {"event": "lost touch", "level": "warning", "service": "ingest"}.items()


@pytest.mark.usefixtures("logging_as_it_was")
def test_an_error_is_logged_with_its_trace_but_not_its_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry.configure("ingest")

    def fail(address: str) -> None:
        raise LookupError(str(len(address)))

    try:
        fail("jane@example.com")
    except LookupError:
        structlog.get_logger().exception("lookup.failed")

    (line,) = lines(capsys)
    assert "LookupError" in str(line["exception"])
    assert "jane" not in str(line)


@pytest.mark.usefixtures("logging_as_it_was")
def test_a_console_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("ingest", form="console", level="warning")

    structlog.get_logger().info("not.this")
    structlog.get_logger().warning("but.this", count=3)

    written = capsys.readouterr().out
    assert "but.this" in written
    assert "count=3" in written
    assert "not.this" not in written


def test_metrics_are_shown_in_prometheus_text() -> None:
    telemetry.DEAD_LETTERS.labels("test.reason").inc()

    shown = telemetry.exposition().decode()

    assert 'clm_dead_letters_total{reason="test.reason"} 1.0' in shown
    assert "process_resident_memory_bytes" in shown
