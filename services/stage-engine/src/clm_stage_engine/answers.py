"""The answers of services that have erased what they kept, written into the receipts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from clm_common.bus.ports import Record
from clm_common.contracts.erasure import ErasureConfirmed, decode
from clm_common.errors import InvalidMessage
from clm_common.instant import from_rfc3339, to_datetime
from clm_common.runtime.handler import Connection, Refusal
from clm_common.store.offsets import Claim
from clm_stage_engine.store.columns import columns

_ANSWERED: Final = """
    INSERT INTO erasure_answer (erasure, service, part, done_at)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::timestamptz[])
    ON CONFLICT DO NOTHING
"""


class Answered(Struct, frozen=True):
    """Some answers; a batch as the worker takes it. The first one counts."""

    answers: Sequence[ErasureConfirmed]
    refused: Sequence[Refusal]

    @property
    def facts(self) -> int:
        """Nothing is published."""
        return 0

    async def write(self, tx: Connection, first_seq: int) -> None:
        """Write the answers down."""
        del first_seq  # nothing is published from rows
        rows = [
            (it.erasure, it.service, it.part, to_datetime(from_rfc3339(it.time)))
            for it in self.answers
        ]
        if rows:
            await tx.execute(_ANSWERED, *columns(rows, 4))

    def committed(self) -> None:
        """Nothing is kept in memory."""


class AnswerHandler:
    """Takes in `clm.erasures`; keeps nothing in memory."""

    async def decide(self, tx: Connection, records: Sequence[Record]) -> Answered:
        """Read answers; what is none is refused."""
        del tx  # nothing is read before the fence
        answers, refused = list[ErasureConfirmed](), list[Refusal]()
        for record in records:
            try:
                answers.append(_checked(decode(record.value or b"")))
            except InvalidMessage as error:
                refused.append(Refusal(record, error))
        return Answered(answers, refused)

    async def wake(self, tx: Connection) -> None:
        """Nothing falls due."""
        del tx

    def forget(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is open."""


async def open_answers(claim: Claim) -> AnswerHandler:
    """Make the handler of a partition that was just taken."""
    del claim  # nothing depends on which partition it is
    return AnswerHandler()


def _checked(answer: ErasureConfirmed) -> ErasureConfirmed:
    try:
        to_datetime(from_rfc3339(answer.time))
    except (ValueError, OverflowError) as error:
        raise InvalidMessage("erasure.invalid", f"time is no RFC 3339 time: {error}") from error
    if not 0 < answer.part < 2**31 or "\0" in answer.service:
        raise InvalidMessage("erasure.invalid", "part or service is out of bounds")
    return answer
