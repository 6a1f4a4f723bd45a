"""What Segment's browser SDK loads."""

from clm_ingest.core.segment_spec import settings_of


def test_the_settings_send_the_browser_to_us_and_no_metrics_to_segment() -> None:
    document = settings_of("wk_1", api_host="t.example.com/v1", protocol="https")

    assert document["metrics"] == {"sampleRate": 0}
    assert document["integrations"] == {
        "Segment.io": {
            "apiKey": "wk_1",
            "apiHost": "t.example.com/v1",
            "protocol": "https",
            "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
        }
    }
