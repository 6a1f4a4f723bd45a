"""The events of a file, NDJSON or CSV, also gzipped, each with its line.

What cannot be an event is given with its fault, and reading goes on.

An event without a `messageId` gets one that is derived from its text and its line, so that it is
the same however often the file is read, also after more was added to its end.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import msgspec
from msgspec import Raw, Struct

from clm_common.catalog import Entry
from clm_ingest.core.glimpse import Fault, examine
from clm_local.errors import LocalError
from clm_local.importing.fieldmap import FieldMap, Row, Unfit, check_columns

LONGEST: Final = 4 * 1024 * 1024
"""Bytes of the longest line that is read."""

_BLOCK: Final = 1024 * 1024
_as_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


class Record(Struct, frozen=True):
    """One event of a file.

    Attributes:
        line: where it stands, counted from 1; a row of a CSV ends there.
        event: the bytes of the event; of what is none, as they stand in the file.
        fault: why it cannot be sent, if it cannot.
        read: bytes of the file that were read so far, as they lie on the disk.
    """

    line: int
    event: bytes
    fault: Fault | None
    read: int


def digest_of(path: Path) -> str:
    """Give the SHA-256 of a file.

    Raises:
        LocalError: it cannot be read.
    """
    digest = hashlib.sha256()
    with _opened(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def records_of(path: Path, entry: Entry[FieldMap] | None) -> Iterator[Record]:
    """Read a file's events, in its order.

    Args:
        path: NDJSON in Segment's form, or a CSV; a name that ends in `.gz` is gzipped.
        entry: the field map of a CSV; None reads NDJSON.

    Raises:
        LocalError: the file cannot be read.
        DefinitionError: the map names columns that are not there.
    """
    with _opened(path) as file:
        try:
            plain = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
            found = _ndjson(plain) if entry is None else _csv(plain, entry)
            for line, event, fault in found:
                yield Record(line, event, fault, file.tell())
        except (OSError, EOFError) as error:
            raise LocalError(
                "file-unreadable", f"{path} is no whole gzip file: {error}."
            ) from error
        except UnicodeDecodeError as error:
            detail = f"{path} is not in {error.encoding}: {error}. Name its `encoding` in the map."
            raise LocalError("file-malformed", detail) from error
        except csv.Error as error:
            raise LocalError("file-malformed", f"{path} is no CSV: {error}.") from error


_Found = tuple[int, bytes, Fault | None]


def _ndjson(file: IO[bytes]) -> Iterator[_Found]:
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if number == 1:
            line = _first(line)
        if len(line) > LONGEST:
            detail = f"Line {number} has more than {LONGEST:,} bytes: is this NDJSON?"
            raise LocalError("line-too-long", detail)
        if raw := line.strip():
            yield number, *_with_id(raw, number)


def _first(line: bytes) -> bytes:
    """Give the first line without a byte order mark.

    Raises:
        LocalError: the file is another than NDJSON in UTF-8.
    """
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise LocalError("file-malformed", "The file is in UTF-16: save it as UTF-8.")
    line = line.removeprefix(codecs.BOM_UTF8)
    if line.lstrip().startswith(b"["):
        detail = "The file is one JSON list: write one event a line (jq -c '.[]' FILE)."
        raise LocalError("file-malformed", detail)
    return line


def _with_id(raw: bytes, number: int) -> tuple[bytes, Fault | None]:
    """Give an event with its id; a line that is no JSON object would break a batch."""
    try:
        raw.decode()
        fields = _as_fields(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = examine(raw, None)
        if isinstance(found, Fault):
            return raw, found
        raw = found.raw
        fields = _as_fields(raw)
    if bytes(fields.get("messageId", b"null")) not in {b"null", b'""'}:
        return raw, None
    fields["messageId"] = Raw(_encode(_id("", number, raw)))
    return _encode(fields), None


def _csv(file: IO[bytes], entry: Entry[FieldMap]) -> Iterator[_Found]:
    mapping = entry.definition
    with io.TextIOWrapper(file, encoding=mapping.encoding, newline="") as text:
        rows = csv.reader(text, strict=True, delimiter=mapping.delimiter)
        columns = next(rows, [])
        check_columns(entry, columns)
        for place, values in enumerate(rows, 1):
            if values:
                yield rows.line_num, *_mapped(mapping, columns, values, place)


def _mapped(
    mapping: FieldMap, columns: list[str], values: list[str], place: int
) -> tuple[bytes, Fault | None]:
    if len(values) != len(columns):
        detail = f"the row has {len(values)} fields, the first line {len(columns)}"
        return _encode(values), Fault("import.row_length", detail)
    row: Row = dict(zip(columns, values, strict=True))
    try:
        event = mapping.event_of(row)
    except Unfit as unfit:
        return _encode(row), Fault("import.field_unfit", str(unfit))
    event.setdefault("messageId", _id(mapping.key, place, _encode(values)))
    return _encode(event), None


def _id(key: str, place: int, raw: bytes) -> str:
    digest = hashlib.sha256(b"%s\0%d\0%s" % (key.encode(), place, raw))
    return f"import-{digest.hexdigest()[:40]}"


@contextmanager
def _opened(path: Path) -> Generator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise LocalError("file-unreadable", f"{path} cannot be read: {error.strerror}.") from error
    with file:
        yield file
