"""What metrics is told from outside, and what it says about a wrong setting."""

from __future__ import annotations

import pytest

from clm_common.errors import SettingsError
from clm_common.settings import load
from clm_metrics.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_DATABASE_URL", "postgresql://clm:s3@127.0.0.1:5432/clm")
    monkeypatch.setenv("CLM_KAFKA_BOOTSTRAP", "127.0.0.1:9092")


def test_without_settings_of_its_own_it_reports_in_utc() -> None:
    found = load(Settings)

    assert found.zones.of("acme") == "UTC"
    assert found.http_port == 8082
    assert found.stage_order == {}


def test_workspaces_may_report_in_time_zones_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_REPORT_TIME_ZONE", "Europe/Berlin")
    monkeypatch.setenv("CLM_REPORT_TIME_ZONES", '{"acme": "America/New_York"}')

    zones = load(Settings).zones

    assert (zones.of("acme"), zones.of("other")) == ("America/New_York", "Europe/Berlin")


def test_the_order_of_stages_is_read_per_lifecycle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_STAGE_ORDER", '{"reach": ["reach", "acquisition"]}')

    assert load(Settings).stage_order == {"reach": ("reach", "acquisition")}


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CLM_REPORT_TIME_ZONE", "Europe/Atlantis", "'Europe/Atlantis' is no IANA time zone"),
        ("CLM_REPORT_TIME_ZONES", '{"acme": "Mars"}', "'Mars' is no IANA time zone"),
        ("CLM_STAGE_ORDER", '{"reach": ["a", "a"]}', "names a stage of reach twice"),
        ("CLM_STAGE_ORDER", '{"reach": "a"}', "for example"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as refused:
        load(Settings)

    assert variable in str(refused.value)
    assert says in str(refused.value)


def test_what_is_no_json_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_STAGE_ORDER", "reach,acquisition")

    with pytest.raises(SettingsError, match=r"CLM_STAGE_ORDER=reach,acq.*: must be a JSON object"):
        load(Settings)
