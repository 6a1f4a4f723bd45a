"""The engine's rows: loads and saves many in one statement; decides nothing.

Every function takes a connection whose transaction is open. Writes that depend on what was read
check it (`version`, the evidence of a link) and raise `RaceLost` where it has changed since.
"""

from typing import Final

SCHEMA: Final = "stage_engine"
