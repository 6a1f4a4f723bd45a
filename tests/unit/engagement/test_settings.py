from __future__ import annotations

import pytest

from clm_common.errors import SettingsError
from clm_common.instant import DAY, SECOND
from clm_common.settings import load
from clm_engagement.settings import Settings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_DATABASE_URL", "postgresql://clm@127.0.0.1/clm")
    monkeypatch.setenv("CLM_KAFKA_BOOTSTRAP", "127.0.0.1:9092")


def test_a_development_machine_needs_nothing_more() -> None:
    settings = load(Settings)

    assert settings.live_window == 2 * DAY
    assert settings.sender == ("CLM", "hello@example.com")
    assert settings.signing_keys == ()


def test_durations_and_keys_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_LIVE_WINDOW", "90s")
    monkeypatch.setenv("CLM_SIGNING_KEY", f"{'a' * 32}, {'b' * 32}")

    settings = load(Settings)

    assert settings.live_window == 90 * SECOND
    assert settings.signing_keys == (b"a" * 32, b"b" * 32)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLM_LIVE_WINDOW", "two days"),
        ("CLM_SMTP_URL", "mail.example.com:25"),
        ("CLM_SMTP_URL", "smtp://mail.example.com?starttls=maybe"),
        ("CLM_MAIL_FROM", "nobody"),
        ("CLM_MAIL_FROM", "A <a@example.com>\nBcc: b@example.com"),
        ("CLM_PUBLIC_URL", "mail.example.com"),
        ("CLM_SIGNING_KEY", "short"),
        ("CLM_ADDRESS_KEY", "short"),
    ],
)
def test_a_wrong_value_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=name) as refusal:
        load(Settings)

    if name.endswith("_KEY"):
        assert value not in str(refusal.value)


def test_production_wants_a_key_a_sender_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_ENV", "production")

    with pytest.raises(SettingsError) as refusal:
        load(Settings)

    for name in (
        "CLM_SIGNING_KEY",
        "CLM_ADDRESS_KEY",
        "CLM_MAIL_FROM",
        "CLM_PUBLIC_URL",
        "CLM_SMTP_URL",
    ):
        assert name in str(refusal.value)
