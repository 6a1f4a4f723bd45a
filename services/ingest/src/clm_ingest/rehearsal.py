"""Tries a webhook out: what it would become, without sending or keeping anything."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from clm_common.clock import Clock
from clm_common.errors import Rejected
from clm_ingest.core import hooks
from clm_ingest.core.admission import Origin, admit
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.parcel import Limits
from clm_ingest.core.translation import settle
from clm_ingest.keyring import Keyring
from clm_ingest.receiver import Receiver
from clm_ingest.store import InboundHook


class Outcome(Struct, frozen=True):
    """What a webhook would become.

    Attributes:
        touchpoints: JSON in Segment's form.
        faults: why something of it would go to the quarantine.
    """

    touchpoints: Sequence[bytes]
    faults: Sequence[Fault]

    @property
    def ignored(self) -> bool:
        """Whether the mapping has no touchpoint for it."""
        return not (self.touchpoints or self.faults)


class Rehearsal:
    """Runs mappings and admission, and nothing after them."""

    def __init__(self, receiver: Receiver, keyring: Keyring, limits: Limits, clock: Clock) -> None:
        """Make it.

        Args:
            receiver: has the mappings.
            keyring: knows the sources' policies.
            limits: the service's own.
            clock: tells the time of receipt.
        """
        self._receiver = receiver
        self._keyring = keyring
        self._limits = limits
        self._clock = clock

    def check_mapping(self, key: str) -> None:
        """Return if there is a mapping of this key.

        Raises:
            Rejected: 422 with those there are.
        """
        known = self._receiver.mappings
        if key not in known:
            detail = f"there is no mapping {key!r}; there are {', '.join(sorted(known))}"
            raise Rejected(422, "hook.mapping_unknown", detail)

    def run(self, hook: InboundHook, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Say what a body would become; the tracking plan is not asked.

        Args:
            hook: where it would be sent to.
            headers: of the request, names in lower case.
            body: as it would be sent.

        Raises:
            Rejected: 422 if the hook's mapping is not there any more.
        """
        self.check_mapping(hook.mapping)
        mapping = self._receiver.mappings[hook.mapping]
        origin = Origin(hook.workspace, str(hook.source), self._clock.now())
        rules = self._keyring.rules_of(origin.source)
        limits = self._limits if rules is None else rules.limits(self._limits)
        parcel = hooks.unpack(mapping, str(hook.id), headers, body, limits)
        verdicts = settle(parcel, admit(parcel, origin, limits, str), limits)
        touchpoints = [bytes(it.value or b"") for it in verdicts.admitted]
        return Outcome(touchpoints, [it.fault for it in verdicts.refused])
