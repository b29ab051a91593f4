"""Findings of one part, written to its file one by one, so that a part that is stopped keeps those it has."""

import json
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uniavgen_core.atomic_write import atomic_write


@dataclass
class Findings:
    """Tables of findings.

    Attributes:
        path: File that they are written to.
        until: Time by ``time.monotonic`` at which the part should be done.
        machine: The device, and versions of driver and packages.
        tables: Values by table, row and column.
        failures: Errors of what was tried, by its name.
        notes: Remarks, whole sentences.
    """

    path: Path
    until: float
    machine: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def seconds_left(self) -> float:
        """Seconds until the part should be done."""
        return self.until - time.monotonic()

    def add(self, table: str, row: str, values: Mapping[str, Any]) -> None:
        """Write values into a row of a table; those that the row has stay."""
        self.tables.setdefault(table, {}).setdefault(row, {}).update(values)
        sys.stdout.write(f"{table} | {row} | {json.dumps(dict(values))}\n")
        self.write()

    def note(self, sentence: str) -> None:
        """Write a remark, a whole sentence."""
        self.notes.append(sentence)
        sys.stdout.write(sentence + "\n")
        self.write()

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Write down an error as the failure of ``name`` and go on after it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - unattended: the next finding is worth more than a clean stop
            traceback.print_exc()
            self.failures[name] = f"{type(error).__name__}: {error}".strip()
            self.write()

    def write(self) -> None:
        """Write everything to the file."""
        sys.stdout.flush()
        values = {"machine": self.machine, "tables": self.tables, "failures": self.failures, "notes": self.notes}
        with atomic_write(self.path) as partial:
            partial.write_text(json.dumps(values), encoding="utf-8")
