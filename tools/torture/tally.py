"""Counting of cases that were tried."""

import time
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Cases of one kind that were tried, and those that failed.

    Attributes:
        deadline: Time at which to stop, by ``time.monotonic``.
        cases: Number of cases tried.
        failures: Description of each case that failed.
        facts: Figures to show beside them.
    """

    deadline: float
    cases: int = 0
    failures: list[str] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """True while there is time for another case."""
        return time.monotonic() < self.deadline

    def count(self, fault: str | None) -> None:
        """Count a case; ``fault`` says what was wrong with it, None for nothing."""
        self.cases += 1
        if fault is not None:
            self.failures.append(fault)
