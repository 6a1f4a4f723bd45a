"""Holds requests against their source's policy: origin, consent, sizes, rate, and each event.

The rate is this process's own: buckets are in memory, one for each source that has a rate.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from clm_common import telemetry
from clm_common.errors import Rejected
from clm_ingest.core.admission import Inspect, Origin, Refusal, Subject, Verdicts
from clm_ingest.core.bucket import Bucket, take
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.inspecting import inspect
from clm_ingest.core.parcel import Parcel
from clm_ingest.core.policy import RateLimit
from clm_ingest.core.proxies import Proxies
from clm_ingest.core.request import Request
from clm_ingest.core.rules import Rules
from clm_ingest.tally import Tally

_DECLINED: Final = telemetry.INGEST_EVENTS.labels("declined")
_THROTTLED: Final = telemetry.INGEST_EVENTS.labels("throttled")


class Gate:
    """Lets requests in, all of one or nothing."""

    def __init__(self, proxies: Proxies, tally: Tally | None = None) -> None:
        """Make it.

        Args:
            proxies: who is believed about the sender's address.
            tally: counts what violates tracking plans.
        """
        self._proxies = proxies
        self._tally = tally or Tally()
        self._buckets: dict[str, Bucket] = {}

    def check(self, origin: Origin, rules: Rules, request: Request, size: int, events: int) -> None:
        """Return if a request may be admitted.

        Args:
            origin: where it came from, and when.
            rules: the source's.
            request: its headers.
            size: the bytes of its body, inflated.
            events: how many events it holds.

        Raises:
            Rejected: 403 from a foreign origin, 413 if it is too large, 429 if too much was sent.
        """
        rules.check_origin(request.header(b"origin"))
        rules.check_sizes(size, events)
        if rules.rate is not None:
            self._take(origin, rules.rate, events)

    def declined(self, rules: Rules, request: Request, parcel: Parcel) -> Verdicts | None:
        """Give the verdicts of a request whose sender does not wish to be followed.

        Nothing of it is kept, not even in the quarantine. None if the sender says no such thing.
        """
        code = rules.declined(request.header)
        if code is None:
            return None
        detail = "the sender's browser says that its user does not wish to be followed"
        ids: Sequence[str | None] = [None] * len(parcel.events)
        if parcel.glimpses is not None:
            ids = [seen.message_id for seen in parcel.glimpses]
        _DECLINED.inc(len(ids))
        return Verdicts(
            [], [Refusal(Fault(code, detail, it), at, b"") for at, it in enumerate(ids)], []
        )

    def marked(self, origin: Origin, rules: Rules, request: Request) -> Origin:
        """Give the origin with what the sender's address says of it, and who is an insider."""
        if rules.internal and rules.is_internal(self._sender(request)):
            return msgspec.structs.replace(origin, internal=True)
        if rules.insiders is not None:
            return msgspec.structs.replace(origin, insiders=rules.insiders)
        return origin

    def inspector(self, rules: Rules, origin: Origin, request: Request | None) -> Inspect | None:
        """Give what looks at every event that is fit otherwise; None where nothing has to.

        Args:
            rules: the source's.
            origin: where the events came from.
            request: by which they came; None if that is over.
        """
        plan, tally = rules.plan, self._tally
        amendment = rules.amendment(None if request is None else self._sender(request))
        if amendment is None and plan is None:
            return None

        def look(raw: bytes, subject: Subject) -> bytes | Fault:
            found = inspect(raw, subject, amendment, plan)
            if found.judgement is not None and plan is not None:
                tally.note(origin, plan.mode, found.judgement)
            return found.verdict

        return look

    def scheme(self, request: Request) -> str:
        """Give the scheme by which the sender reached us, or a proxy of ours."""
        forwarded = request.header(b"x-forwarded-proto").strip().lower()
        if forwarded in {b"http", b"https"} and self._proxies.trusts(request.peer):
            return forwarded.decode()
        return request.scheme

    def _sender(self, request: Request) -> str | None:
        joined = request.joined
        return self._proxies.sender(request.peer, joined(b"x-forwarded-for"), joined(b"forwarded"))

    def _take(self, origin: Origin, rate: RateLimit, events: int) -> None:
        taken = take(self._buckets.get(origin.source), rate, events, origin.received)
        self._buckets[origin.source] = taken.bucket
        if taken.wait is not None:
            _THROTTLED.inc(events)
            detail = (
                f"this source may send {rate.events_per_second:g} events a second, "
                f"{rate.burst:,} at once; send it again in {taken.wait} s"
            )
            raise Rejected(429, "rate.exceeded", detail, retry_after=taken.wait)
