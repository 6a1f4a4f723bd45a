"""The import of files: what is read, judged, sent and remembered."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clm_common import catalog
from clm_common.catalog import Entry
from clm_common.clock import ManualClock
from clm_common.errors import DefinitionError
from clm_common.instant import from_rfc3339
from clm_ingest.core.parcel import Limits, unpack_batch
from clm_local.errors import LocalError
from clm_local.importing import run
from clm_local.importing.fieldmap import FieldMap, Unfit
from clm_local.importing.judging import body_of
from clm_local.importing.records import records_of
from clm_local.importing.run import Job
from clm_local.importing.sender import Sender

NOW = from_rfc3339("2026-11-25T12:00:00Z")
CLOCK = ManualClock(NOW)
MAP = """
key: orders
event: {column: kind, values: {purchase: Order Completed, refund: Order Refunded}}
userId: {column: customer}
timestamp: {column: at, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
properties:
  revenue: {column: cents, type: number, divide: 100}
  currency: {value: EUR}
traits:
  vip: {column: vip, type: boolean}
"""


class Ingest:
    """Answers batches as ingest does, and keeps what it took."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.batches = 0
        self.answers: list[httpx.Response | Exception] = []
        self.waits: list[float] = []

    def sender(self) -> Sender:
        transport = httpx.MockTransport(self._answer)
        return Sender(
            "http://ingest", "wk", lambda _: None, transport=transport, sleep=self.waits.append
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        self.batches += 1
        self.events += json.loads(request.content)["batch"]
        return httpx.Response(200, json={"success": True})


def entry(text: str = MAP) -> Entry[FieldMap]:
    return catalog.read(text, "map.yaml", FieldMap)


def track(number: int, **more: Any) -> dict[str, Any]:
    fields = {"type": "track", "event": "Seen", "userId": f"u{number}"}
    return {**fields, "timestamp": "2026-01-02T03:04:05Z", **more}


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """2,500 events, one a line."""
    path = tmp_path / "history.ndjson"
    path.write_text("".join(json.dumps(track(it)) + "\n" for it in range(2_500)))
    return path


def job(path: Path, *, mapping: Entry[FieldMap] | None = None) -> Job:
    return Job(path, mapping, "job")


def ignore(*_: object) -> None:
    pass


def csv_of(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text("kind,customer,at,cents,vip\n" + "\n".join(rows) + "\n")
    return path


def test_a_row_becomes_an_event_with_types_units_and_its_zones_time(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "purchase,007,02.07.2026 09:30,1999,yes")

    (record,) = records_of(path, entry())

    event = json.loads(record.event)
    assert event.pop("messageId").startswith("import-")
    assert event == {
        "type": "track",
        "event": "Order Completed",
        "userId": "007",
        "timestamp": "2026-07-02T09:30:00+02:00",
        "properties": {"revenue": 19.99, "currency": "EUR"},
        "traits": {"vip": True},
    }


@pytest.mark.parametrize(
    ("row", "code", "named"),
    [
        ("gift,1,02.07.2026 09:30,1,yes", "import.field_unfit", "kind: 'gift'"),
        ("refund,1,2026-07-02,1,yes", "import.field_unfit", "at: '2026-07-02'"),
        ("refund,1,02.07.2026 09:30,1 €,yes", "import.field_unfit", "cents: '1 €'"),
        ("refund,1,02.07.2026 09:30,NaN,yes", "import.field_unfit", "cents: 'NaN'"),
        ("refund,1,02.07.2026 09:30,1,maybe", "import.field_unfit", "vip: 'maybe'"),
        ("refund,1,02.07.2026 09:30", "import.row_length", "3 fields"),
    ],
)
def test_a_row_that_does_not_fit_the_map_says_why_and_is_passed_over(
    tmp_path: Path, row: str, code: str, named: str
) -> None:
    path = csv_of(tmp_path, row, "purchase,7,02.07.2026 09:30,1999,yes")

    bad, good = records_of(path, entry())

    assert bad.fault is not None
    assert (bad.line, bad.fault.code) == (2, code)
    assert named in bad.fault.detail
    assert good.fault is None


def test_a_spreadsheets_export_is_read_in_its_own_form(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes("Größe;Betrag;am\nfünf;1.234,50;2026-01-02\n;12;2026-01-03\n".encode("cp1252"))
    mapping = entry(
        "{key: export, delimiter: ';', encoding: windows-1252, event: {value: Bought},"
        " userId: {value: ada}, timestamp: {column: am}, properties: {size: {column: Größe},"
        " revenue: {column: Betrag, type: number, decimal: ','}}}"
    )

    events = [json.loads(it.event) for it in records_of(path, mapping)]

    assert [it["properties"] for it in events] == [
        {"size": "fünf", "revenue": 1234.5},
        {"revenue": 12},
    ]


@pytest.mark.parametrize("text", ["1,234.50", "12.34", "1.23,4", "1,2,3", "1e3", "x"])
def test_a_number_in_another_form_than_the_maps_is_not_guessed_at(text: str) -> None:
    mapping = entry(
        "{key: k, delimiter: ';', timestamp: {column: at}, event: {value: E}, userId: {value: u},"
        " properties: {revenue: {column: sum, type: number, decimal: ','}}}"
    ).definition
    row = {"at": "2026-01-02", "sum": text}

    with pytest.raises(Unfit, match=r"sum: .* is not of type number"):
        mapping.event_of(row)


def test_a_file_in_another_encoding_says_where_to_name_it(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes("at,wer\n2026-01-02,Zoë\n".encode("cp1252"))
    mapping = entry("{key: k, timestamp: {column: at}, event: {value: E}, userId: {column: wer}}")

    with pytest.raises(LocalError, match=r"not in utf-8: .* Name its `encoding` in the map"):
        list(records_of(path, mapping))


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (json.dumps([{"userId": "ada"}]).encode(), "write one event a line"),
        ('{"userId": "ada"}'.encode("utf-16"), "save it as UTF-8"),
    ],
)
def test_a_file_that_is_no_ndjson_says_what_to_do(
    tmp_path: Path, content: bytes, advice: str
) -> None:
    path = tmp_path / "events.json"
    path.write_bytes(content)

    with pytest.raises(LocalError, match=advice):
        list(records_of(path, None))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(track(1)).encode() + b"\n")

    [found] = records_of(path, None)

    assert found.fault is None
    assert json.loads(found.event)["userId"] == "u1"


def test_an_empty_field_leaves_its_key_out(tmp_path: Path) -> None:
    (record,) = records_of(csv_of(tmp_path, "refund,7,02.07.2026 09:30,,"), entry())

    event = json.loads(record.event)

    assert event["properties"] == {"currency": "EUR"}
    assert "traits" not in event


def test_a_map_that_names_an_absent_column_is_refused_with_its_line(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "purchase,7,02.07.2026 09:30,1999,yes")
    wrong = entry(MAP.replace("column: customer", "column: custmer"))

    with pytest.raises(DefinitionError, match=r"map\.yaml:4: userId\.column: no column 'custmer'"):
        list(records_of(path, wrong))


def test_a_map_that_names_a_column_that_is_there_twice_is_refused_with_its_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("kind,customer,at,cents,vip,customer\npurchase,7,02.07.2026 09:30,1999,yes,8\n")

    with pytest.raises(DefinitionError, match=r"map\.yaml:4: userId\.column: several columns"):
        list(records_of(path, entry()))


@pytest.mark.parametrize(
    "wrong",
    [
        MAP.replace("userId", "user"),
        MAP.replace("Europe/Berlin", "Europe/Berln"),
        MAP.replace("type: number, ", ""),
        MAP.replace("{value: EUR}", "{value: EUR, column: kind}"),
    ],
)
def test_a_map_that_cannot_be_right_is_refused(wrong: str) -> None:
    with pytest.raises(DefinitionError, match=r"map\.yaml:\d+"):
        entry(wrong)


def test_derived_ids_stay_when_the_file_grows_and_tell_equal_lines_apart(tmp_path: Path) -> None:
    path = tmp_path / "history.ndjson"
    line = json.dumps(track(1)) + "\n"
    path.write_text(line * 2)
    before = [json.loads(it.event)["messageId"] for it in records_of(path, None)]

    path.write_text(line * 3)
    after = [json.loads(it.event)["messageId"] for it in records_of(path, None)]

    assert after[:2] == before
    assert len(set(after)) == 3


def test_an_event_with_an_id_keeps_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "history.ndjson"
    raw = b'{ "type":"page","messageId":"m1","userId":1.0 }'
    path.write_bytes(raw + b"\r\n\n")

    (record,) = records_of(path, None)

    assert record.event == raw


def test_a_text_that_was_cut_within_an_emoji_does_not_cost_its_event(tmp_path: Path) -> None:
    path = tmp_path / "history.ndjson"
    path.write_text(json.dumps(track(1, messageId="m", properties={"title": "Hello \ud83d"})))

    (record,) = records_of(path, None)

    assert record.fault is None
    assert json.loads(record.event) == track(1, messageId="m", properties={"title": "Hello \ufffd"})


def test_gzipped_files_are_read_and_broken_ones_refused(tmp_path: Path, history: Path) -> None:
    path = tmp_path / "history.ndjson.gz"
    whole = gzip.compress(history.read_bytes())
    path.write_bytes(whole)

    assert len(list(records_of(path, None))) == 2_500

    path.write_bytes(whole[:-100])
    with pytest.raises(LocalError, match="no whole gzip"):
        list(records_of(path, None))


def test_a_rehearsal_counts_what_would_be_refused_with_a_sample_of_each(tmp_path: Path) -> None:
    path = tmp_path / "history.ndjson"
    lines = [
        json.dumps(track(1)),
        '{"type":"track"},{"type":"track"}',
        json.dumps({"type": "track", "event": "Seen"}),
        json.dumps(track(3, timestamp=None)),
        json.dumps(track(4, timestamp="2026-11-23T11:00:00Z")),
    ]
    path.write_text("\n".join(lines))

    done, samples = run.rehearse(job(path), CLOCK, ignore)

    assert done.sent == 2
    assert {it.code: it.line for it in samples} == {
        "touchpoint.malformed": 2,
        "touchpoint.identity_missing": 3,
        "import.untimed": 4,
    }


class _Killed(BaseException):
    """The process ends here."""


def _dying(at: int) -> Callable[..., None]:
    """Give what ends the process when a batch is done."""
    left = iter(range(at))

    def told(*_: object) -> None:
        if next(left, None) is None:
            raise _Killed

    return told


def test_an_interrupted_import_goes_on_after_the_last_batch(history: Path) -> None:
    ingest = Ingest()

    with ingest.sender() as sender:
        with pytest.raises(_Killed):
            run.send(job(history), sender, CLOCK, _dying(1))
        done = run.send(job(history), sender, CLOCK, ignore)

    assert (done.records, done.sent, ingest.batches) == (2_500, 2_500, 3)
    assert [it["userId"] for it in ingest.events] == [f"u{it}" for it in range(2_500)]


def test_a_crash_between_the_answer_and_the_memory_of_it_doubles_no_id(
    history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = Ingest()
    with monkeypatch.context() as patched, ingest.sender() as sender:
        patched.setattr("clm_local.importing.progress_file.save", _raise)
        with pytest.raises(_Killed):
            run.send(job(history), sender, CLOCK, ignore)

    with ingest.sender() as sender:
        run.send(job(history), sender, CLOCK, ignore)

    assert len(ingest.events) == 3_500
    assert len({it["messageId"] for it in ingest.events}) == 2_500


def _raise(*_: object) -> None:
    raise _Killed


def test_a_finished_import_sends_nothing_when_it_is_run_again(history: Path) -> None:
    ingest = Ingest()

    with ingest.sender() as sender:
        first = run.send(job(history), sender, CLOCK, ignore)
        again = run.send(job(history), sender, CLOCK, ignore)

    assert again == first
    assert len(ingest.events) == 2_500


def test_history_stays_history_whichever_library_sent_it_first() -> None:
    event = {"userId": "u-1", "context": {"library": {"name": "analytics-java"}}}

    parcel = unpack_batch(body_of([json.dumps(event).encode()]), Limits(), historical=True)

    assert parcel.historical


def test_busy_and_absent_servers_are_waited_for(history: Path) -> None:
    ingest = Ingest()
    ingest.answers = [
        httpx.Response(429, headers={"retry-after": "7"}),
        httpx.Response(503),
        httpx.ConnectError("refused"),
    ]

    with ingest.sender() as sender:
        done = run.send(job(history), sender, CLOCK, ignore)

    assert done.sent == 2_500
    assert ingest.waits == [7.0, 4.0, 8.0]


def test_a_wrong_key_ends_the_import_and_nothing_is_taken_for_sent(history: Path) -> None:
    ingest = Ingest()
    ingest.answers = [httpx.Response(401, text="no source has this write key")]

    with ingest.sender() as sender, pytest.raises(LocalError, match="no source has this"):
        run.send(job(history), sender, CLOCK, ignore)

    assert not job(history).resume.exists()


def test_refused_lines_are_reported_once_with_their_originals(history: Path) -> None:
    history.write_text(history.read_text() + "{broken\n")
    ingest = Ingest()
    rejected = [{"index": 3, "messageId": "m", "code": "plan.violated"}]
    ingest.answers = [httpx.Response(200, json={"success": True, "rejected": rejected})]

    with ingest.sender() as sender:
        with pytest.raises(_Killed):
            run.send(job(history), sender, CLOCK, _dying(1))
        done = run.send(job(history), sender, CLOCK, ignore)

    report = list(_lines(job(history).report))
    assert [(it["line"], it["code"]) for it in report] == [
        (4, "plan.violated"),
        (2_501, "touchpoint.malformed"),
    ]
    assert report[1]["original"] == "{broken"
    assert done.refused == {"plan.violated": 1, "touchpoint.malformed": 1}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, path.read_text().splitlines())
