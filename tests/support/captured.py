"""What the real SDKs sent when they were recorded, shortened: one event of each request.

The write key is `wk_test`. Versions: segment-analytics-python 2.4.0, rudder-sdk-python 2.1.9,
@segment/analytics-node 3.1.0, @rudderstack/rudder-sdk-node 3.0.13, @segment/analytics-next 1.84.3,
@rudderstack/analytics-js 3.34.1, @jitsu/js 1.11.0, posthog 7.91.1 (Python),
com.segment.analytics.java 3.5.4.
"""

import gzip
import json
from dataclasses import dataclass
from typing import Any

WRITE_KEY = "wk_test"
BASIC = "Basic d2tfdGVzdDo="
PAGE = {"path": "/", "referrer": "", "search": "", "title": "conf", "url": "http://localhost/"}


@dataclass(frozen=True)
class Captured:
    """A request as an SDK sends it, and what must land of it.

    `landed` gives type, user id, anonymous id and message id.
    """

    sdk: str
    path: str
    headers: dict[str, str]
    body: bytes
    landed: tuple[str, str | None, str | None, str]

    def __str__(self) -> str:
        return f"{self.sdk} {self.path.partition('?')[0]}"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


SEGMENT_PYTHON = Captured(
    "segment-python",
    "/v1/batch",
    {
        "user-agent": "analytics-python/2.4.0",
        "content-type": "application/json",
        "authorization": BASIC,
    },
    _json(
        {
            "batch": [
                {
                    "integrations": {},
                    "anonymousId": "py-seg-anon",
                    "timestamp": "2026-11-21T19:57:32.512+00:00",
                    "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
                    "type": "identify",
                    "userId": "py-seg-1",
                    "traits": {"email": "a@example.com", "createdAt": "2024-01-02T03:04:05"},
                    "messageId": "conf-21b358cc-eb44-4e4c-8c6e-9d876ac13b76",
                }
            ],
            "sentAt": "2026-11-21T19:57:33.012034+00:00",
            "writeKey": WRITE_KEY,
        }
    ),
    ("identify", "py-seg-1", "py-seg-anon", "conf-21b358cc-eb44-4e4c-8c6e-9d876ac13b76"),
)

SEGMENT_JAVA = Captured(  # the key in the body alone, and what happens now to /v1/import
    "segment-java",
    "/v1/import/",
    {
        "user-agent": "analytics-java/3.5.4",
        "content-type": "application/json; charset=UTF-8",
    },
    _json(
        {
            "batch": [
                {
                    "type": "identify",
                    "messageId": "377cc9c3-fe77-4b49-8eb4-551695556e03",
                    "timestamp": "2026-11-21T19:44:56.535Z",
                    "anonymousId": "java-seg-anon",
                    "userId": "java-seg-1",
                    "integrations": {},
                    "traits": {"n": 1},
                }
            ],
            "sentAt": "2026-11-21T19:44:56.553Z",
            "context": {
                "library": {"name": "analytics-java", "version": "3.5.4"},
                "instanceId": "ed6072e6-ba33-473a-8809-27fbb6b8699f",
            },
            "sequence": 1,
            "writeKey": WRITE_KEY,
        }
    ),
    ("identify", "java-seg-1", "java-seg-anon", "377cc9c3-fe77-4b49-8eb4-551695556e03"),
)

RUDDER_PYTHON = Captured(
    "rudder-python",
    "/v1/batch",
    {
        "user-agent": "analytics-python/2.1.9",
        "content-type": "application/json",
        "content-encoding": "gzip",
        "authorization": BASIC,
    },
    gzip.compress(
        _json(
            {
                "batch": [
                    {
                        "integrations": {"All": True},
                        "anonymousId": "py-rud-anon",
                        "timestamp": "2026-11-21T19:57:35.373111+00:00",
                        "context": {
                            "traits": {"email": "b@example.com"},
                            "library": {"name": "analytics-python", "version": "2.1.9"},
                        },
                        "type": "identify",
                        "userId": "py-rud-1",
                        "messageId": "a6b5414c-ee42-44c0-a37e-79cc548b5107",
                        "channel": "server",
                    }
                ],
                "sentAt": "2026-11-21T19:57:35.873344+00:00",
            }
        )
    ),
    ("identify", "py-rud-1", "py-rud-anon", "a6b5414c-ee42-44c0-a37e-79cc548b5107"),
)

SEGMENT_NODE = Captured(
    "segment-node",
    "/v1/batch",
    {
        "user-agent": "analytics-node-next/latest",
        "content-type": "application/json",
        "authorization": BASIC,
    },
    _json(
        {
            "batch": [
                {
                    "timestamp": "2026-11-21T19:57:37.970Z",
                    "integrations": {},
                    "type": "identify",
                    "userId": "node-seg-1",
                    "traits": {"email": "d@example.com"},
                    "context": {"library": {"name": "@segment/analytics-node", "version": "3.1.0"}},
                    "anonymousId": "node-seg-anon",
                    "messageId": "node-next-1795291057970-8774231c-897e-4190-a219-c284220fde19",
                    "_metadata": {"nodeVersion": "v20.20.2", "jsRuntime": "node"},
                }
            ],
            "writeKey": WRITE_KEY,
            "sentAt": "2026-11-21T19:57:37.975Z",
        }
    ),
    (
        "identify",
        "node-seg-1",
        "node-seg-anon",
        "node-next-1795291057970-8774231c-897e-4190-a219-c284220fde19",
    ),
)

RUDDER_NODE = Captured(  # its label is wrong: axios calls a Buffer a form
    "rudder-node",
    "/v1/batch",
    {
        "user-agent": "analytics-node/3.0.13",
        "content-type": "application/x-www-form-urlencoded",
        "content-encoding": "gzip",
        "authorization": BASIC,
    },
    gzip.compress(
        _json(
            {
                "batch": [
                    {
                        "userId": "node-rud-1",
                        "anonymousId": "node-rud-anon",
                        "traits": {"email": "e@example.com"},
                        "messageId": "conf-2e460211-d4f3-4ad9-853d-3a37e80385cf",
                        "context": {"library": {"name": "analytics-node", "version": "3.0.13"}},
                        "type": "identify",
                        "channel": "server",
                        "originalTimestamp": "2026-11-21T19:57:38.665Z",
                        "sentAt": "2026-11-21T19:57:38.666Z",
                    }
                ],
                "timestamp": "2026-11-21T19:57:38.666Z",
                "sentAt": "2026-11-21T19:57:38.666Z",
            }
        )
    ),
    ("identify", "node-rud-1", "node-rud-anon", "conf-2e460211-d4f3-4ad9-853d-3a37e80385cf"),
)

_SEGMENT_BROWSER_EVENT = {
    "timestamp": "2026-11-21T19:57:42.339Z",
    "integrations": {"Segment.io": True},
    "type": "identify",
    "userId": "br-seg-1",
    "traits": {"email": "g@example.com"},
    "context": {"page": PAGE, "library": {"name": "analytics.js", "version": "npm:next-1.84.3"}},
    "messageId": "ajs-next-1795291062339-aa455faf-b1b2-4bed-ac32-1de02f8cd2ae",
    "anonymousId": "455fafb1-b29b-4d2c-b21d-e02f8cd2aead",
    "writeKey": WRITE_KEY,
    "_metadata": {"bundled": ["Segment.io"], "unbundled": [], "bundledIds": []},
}
_SEGMENT_BROWSER_LANDED = (
    "identify",
    "br-seg-1",
    "455fafb1-b29b-4d2c-b21d-e02f8cd2aead",
    "ajs-next-1795291062339-aa455faf-b1b2-4bed-ac32-1de02f8cd2ae",
)
_SEGMENT_BROWSER_HEADERS = {
    "authorization": BASIC,
    "content-type": "text/plain",
    "origin": "http://localhost:36367",
}

SEGMENT_BROWSER = Captured(
    "segment-browser",
    "/v1/i",
    _SEGMENT_BROWSER_HEADERS,
    _json({**_SEGMENT_BROWSER_EVENT, "sentAt": "2026-11-21T19:57:42.388Z"}),
    _SEGMENT_BROWSER_LANDED,
)

SEGMENT_BROWSER_BATCH = Captured(
    "segment-browser-batch",
    "/v1/b",
    _SEGMENT_BROWSER_HEADERS,
    _json(
        {
            "writeKey": WRITE_KEY,
            "batch": [_SEGMENT_BROWSER_EVENT],
            "sentAt": "2026-11-21T19:57:46.690Z",
        }
    ),
    _SEGMENT_BROWSER_LANDED,
)

_RUDDER_BROWSER_EVENT = {
    "userId": "br-rud-1",
    "type": "identify",
    "context": {
        "traits": {"email": "h@example.com"},
        "sessionId": 1795291095283,
        "sessionStart": True,
        "library": {"name": "RudderLabs JavaScript SDK", "version": "3.34.1"},
        "page": {**PAGE, "referrer": "$direct"},
    },
    "channel": "web",
    "originalTimestamp": "2026-11-21T19:58:15.305Z",
    "messageId": "47b32625-164f-43c6-9b60-d33aca109721",
    "anonymousId": "13901374-ad4f-4fe3-82a8-dcb42ca0cfb6",
    "integrations": {"All": True},
    "sentAt": "2026-11-21T19:58:15.596Z",
}
_RUDDER_BROWSER_LANDED = (
    "identify",
    "br-rud-1",
    "13901374-ad4f-4fe3-82a8-dcb42ca0cfb6",
    "47b32625-164f-43c6-9b60-d33aca109721",
)

RUDDER_BROWSER = Captured(
    "rudder-browser",
    "/v1/identify",
    {
        "authorization": BASIC,
        "content-type": "application/json;charset=UTF-8",
        "anonymousid": "MTM5MDEzNzQtYWQ0Zi00ZmUzLTgyYTgtZGNiNDJjYTBjZmI2",
        "sentat": "2026-11-21T19:58:15.596Z",
        "origin": "http://localhost:39993",
    },
    _json(_RUDDER_BROWSER_EVENT),
    _RUDDER_BROWSER_LANDED,
)

RUDDER_BEACON = Captured(
    "rudder-beacon",
    f"/beacon/v1/batch?writeKey={WRITE_KEY}",
    {"content-type": "text/plain", "origin": "http://localhost:45697"},
    _json({"batch": [_RUDDER_BROWSER_EVENT], "sentAt": "2026-11-21T19:58:15.596Z"}),
    _RUDDER_BROWSER_LANDED,
)

JITSU_BROWSER = Captured(
    "jitsu-browser",
    "/api/s/track",
    {
        "content-type": "application/json",
        "x-write-key": WRITE_KEY,
        "origin": "http://localhost:40977",
    },
    _json(
        {
            "type": "track",
            "event": "Order Completed",
            "properties": {"revenue": 12.5},
            "userId": "br-jit-1",
            "anonymousId": "20d8e928-fbf8-4acb-ab61-052602405f53",
            "timestamp": "2026-11-21T19:58:21.489Z",
            "sentAt": "2026-11-21T19:58:21.489Z",
            "messageId": "143b7p7vk4n1borhex2cfs",
            "writeKey": "***",
            "context": {"library": {"name": "@jitsu/js", "version": "1.11.0"}, "page": PAGE},
        }
    ),
    (
        "track",
        "br-jit-1",
        "20d8e928-fbf8-4acb-ab61-052602405f53",
        "143b7p7vk4n1borhex2cfs",
    ),
)

_POSTHOG_EVENT = {
    "event": "Order Completed",
    "distinct_id": "u1",
    "uuid": "a1304360-fd2a-43e9-acf1-2a94fa61d296",
    "timestamp": "2026-11-21T21:06:38.041673+00:00",
    "properties": {
        "revenue": 12.5,
        "$set": {"plan": "x"},
        "$os": "Linux",
        "$lib": "posthog-python",
        "$lib_version": "7.91.1",
        "$geoip_disable": True,
        "$is_server": True,
    },
}
_POSTHOG_LANDED = ("track", "u1", None, "a1304360-fd2a-43e9-acf1-2a94fa61d296")

POSTHOG_PYTHON = Captured(
    "posthog-python",
    "/batch/",
    {
        "user-agent": "posthog-python/7.91.1",
        "content-type": "application/json",
        "content-encoding": "gzip",
    },
    gzip.compress(
        _json(
            {
                "batch": [_POSTHOG_EVENT],
                "historical_migration": False,
                "sent_at": "2026-11-21T21:06:38.042432+00:00",
                "api_key": WRITE_KEY,
            }
        )
    ),
    _POSTHOG_LANDED,
)

POSTHOG_PYTHON_V1 = Captured(
    "posthog-python-v1",
    "/i/v1/analytics/events",
    {
        "user-agent": "posthog-python/7.91.1",
        "content-type": "application/json",
        "content-encoding": "gzip",
        "authorization": f"Bearer {WRITE_KEY}",
        "posthog-sdk-info": "posthog-python/7.91.1",
        "posthog-attempt": "1",
        "posthog-request-id": "c43682c7-f319-4abc-bb44-597bd6d63161",
        "posthog-request-timestamp": "2026-11-21T21:06:38.049046+00:00",
    },
    gzip.compress(
        _json(
            {
                "created_at": "2026-11-21T21:06:38.048714+00:00",
                "batch": [{**_POSTHOG_EVENT, "options": {}}],
            }
        )
    ),
    _POSTHOG_LANDED,
)

POSTHOG_BROWSER = Captured(  # gzip without saying so
    "posthog-browser",
    "/e/?compression=gzip-js&_=1795291098000&ver=1.449.2",
    {"content-type": "text/plain", "origin": "http://localhost:41000"},
    gzip.compress(
        _json(
            [
                {
                    "uuid": "019aa8f5-0000-7000-8000-000000000001",
                    "event": "$pageview",
                    "properties": {
                        "token": WRITE_KEY,
                        "distinct_id": "019aa8f5-1111-7000-8000-000000000001",
                        "$device_id": "019aa8f5-1111-7000-8000-000000000001",
                        "$is_identified": False,
                        "$current_url": "http://localhost:41000/",
                        "$lib": "web",
                        "$lib_version": "1.449.2",
                    },
                    "offset": 1500,
                }
            ]
        )
    ),
    (
        "page",
        None,
        "019aa8f5-1111-7000-8000-000000000001",
        "019aa8f5-0000-7000-8000-000000000001",
    ),
)

ALL = (
    SEGMENT_PYTHON,
    SEGMENT_JAVA,
    RUDDER_PYTHON,
    SEGMENT_NODE,
    RUDDER_NODE,
    SEGMENT_BROWSER,
    SEGMENT_BROWSER_BATCH,
    RUDDER_BROWSER,
    RUDDER_BEACON,
    JITSU_BROWSER,
    POSTHOG_PYTHON,
    POSTHOG_PYTHON_V1,
    POSTHOG_BROWSER,
)
