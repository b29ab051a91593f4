"""Ends training after the step that is being taken, instead of in the middle of it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Interrupt:
    """True if somebody asked for an end."""

    asked: bool = False


@contextmanager
def catch_interrupts() -> Iterator[Interrupt]:
    """Note Ctrl-C and SIGTERM instead of dying of them; a second one is obeyed at once.

    Outside of the main thread nothing is caught: Python delivers signals to that thread only.
    """
    interrupt, before = Interrupt(), {}
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def note(number: int, frame: object) -> None:
        if interrupt.asked:
            signal.signal(number, before[number])
            if callable(before[number]):
                before[number](number, frame)
            else:
                signal.raise_signal(number)
        interrupt.asked = True

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
