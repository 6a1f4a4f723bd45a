"""Kafka's jars: fetched once, checked always, and never anything but what the lock says."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Generator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clm_local import jars
from clm_local.errors import LocalError
from clm_local.jars import Jar


class Repository:
    """A Maven repository on this machine that counts what is asked of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.refusals = 0
        owner = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(self.path)
                if owner.refusals and self.path.endswith(".jar"):
                    owner.refusals -= 1
                    self.send_error(503)
                    return
                super().do_GET()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's name)
                """Keep the tests' output to itself."""

        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(root))
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def downloads(self) -> list[str]:
        return [Path(path).name for path in self.asked if path.endswith(".jar")]

    def publish(self, name: str, content: bytes) -> Jar:
        digest = hashlib.sha256(content).hexdigest()
        jar = Jar("org.example", name, "1.0", digest, len(content))
        path = self.root / jar.in_maven
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return jar


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Repository]:
    root = tmp_path / "repository"
    root.mkdir()
    it = Repository(root)
    monkeypatch.setenv("CLM_MAVEN_MIRROR", it.url + "/")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "maven-cache"))
    thread = threading.Thread(target=it.server.serve_forever)
    thread.start()
    yield it
    it.server.shutdown()
    thread.join()
    it.server.server_close()


@pytest.fixture
def two(repository: Repository) -> tuple[Jar, Jar]:
    return repository.publish("one", b"1" * 30_000), repository.publish("two", b"2" * 50_000)


def test_the_lock_names_forty_seven_jars_that_all_differ() -> None:
    locked = jars.locked()

    assert len(locked) == 47
    assert len({jar.file for jar in locked}) == 47
    assert all(len(jar.sha256) == 64 for jar in locked)
    assert {jar.version for jar in locked if jar.group == "org.apache.kafka"} == {"4.3.1"}


def test_all_is_fetched_once_and_then_left_alone(
    repository: Repository, two: tuple[Jar, Jar], tmp_path: Path
) -> None:
    place = tmp_path / "jars"

    first = jars.fetch(place, jars=two)
    second = jars.fetch(place, jars=two)

    assert first == two
    assert second == ()
    assert sorted(repository.downloads) == ["one-1.0.jar", "two-1.0.jar"]
    assert (place / "two-1.0.jar").read_bytes() == b"2" * 50_000


def test_only_what_is_missing_or_damaged_is_fetched_again(
    repository: Repository, two: tuple[Jar, Jar], tmp_path: Path
) -> None:
    place = tmp_path / "jars"
    jars.fetch(place, jars=two)
    (place / "one-1.0.jar").write_bytes(b"1" * 29_999 + b"x")
    repository.asked.clear()

    fetched = jars.fetch(place, jars=two)

    assert fetched == two[:1]
    assert repository.downloads == ["one-1.0.jar"]
    assert jars.missing(place, two) == ()


def test_an_interrupted_fetch_keeps_what_is_whole_and_leaves_no_draft(
    repository: Repository, two: tuple[Jar, Jar], tmp_path: Path
) -> None:
    place = tmp_path / "jars"
    jars.fetch(place, jars=two[:1])
    draft = place / ".fetch-killed"
    draft.mkdir()
    (draft / "two-1.0.jar").write_bytes(b"2" * 10)
    repository.asked.clear()

    jars.fetch(place, jars=two)

    assert repository.downloads == ["two-1.0.jar"]
    assert sorted(path.name for path in place.iterdir() if path.name != ".lock") == [
        "one-1.0.jar",
        "two-1.0.jar",
    ]


def test_a_repository_that_stumbles_is_asked_again(
    repository: Repository, two: tuple[Jar, Jar], tmp_path: Path
) -> None:
    repository.refusals = 1

    jars.fetch(tmp_path / "jars", jars=two[:1])

    assert repository.downloads == ["one-1.0.jar", "one-1.0.jar"]


def test_a_jar_that_is_not_the_locked_one_is_refused_with_advice(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "ATTEMPTS", 2)
    jar = repository.publish("one", b"1" * 100)
    (repository.root / jar.in_maven).write_bytes(b"evil")

    with pytest.raises(LocalError) as refusal:
        jars.fetch(tmp_path / "jars", jars=[jar])

    assert refusal.value.slug == "jar-not-fetched"
    assert "sha256" in str(refusal.value)
    assert "CLM_MAVEN_MIRROR" in str(refusal.value)
    assert not (tmp_path / "jars" / jar.file).exists()


def test_mavens_own_cache_spares_the_download(
    repository: Repository, two: tuple[Jar, Jar], tmp_path: Path
) -> None:
    cached = tmp_path / "maven-cache" / two[0].in_maven
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"1" * 30_000)

    jars.fetch(tmp_path / "jars", jars=two[:1])

    assert repository.asked == []
    assert jars.missing(tmp_path / "jars", two[:1]) == ()


def test_progress_ends_at_the_whole(
    repository: Repository, two: tuple[Jar, Jar], tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    repository.refusals = 1

    jars.fetch(
        tmp_path / "jars", jars=two, report=lambda _what, done, total: seen.append((done, total))
    )

    assert seen[-1] == (80_000, 80_000)
