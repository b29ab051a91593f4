"""Cancels at random moments: each ends the run soon, and the same prompt then gives the same picture and sound."""

import threading
import time
from random import Random

from ..comfy_client import ComfyClient, PromptFailedError, PromptInterruptedError
from ..workflow import Workflow
from .tally import Tally
from .workflows import digest_of, small

STEPS = 6
SOON = 10.0
"""Seconds within which a cancelled run must have ended: a call of the network, and a busy machine."""


def cancel_at_random(server: ComfyClient, random: Random, tally: Tally) -> None:
    """Cancel a run at a random moment, and run it again."""
    expected = digest_of(server, workflow_with(0))
    started = time.monotonic()
    digest_of(server, workflow_with(1))
    whole = time.monotonic() - started
    tally.facts["cancels"] = 0
    seed = 2
    while tally or not tally.cases:
        tally.count(fault_of_cancel(server, workflow_with(seed), random.random() * whole))
        tally.facts["cancels"] += 1
        seed += 1
        again = digest_of(server, workflow_with(0, prefix=f"video/again{seed}"))
        tally.count(None if again == expected else "the run after a cancelled one gave another result")


def workflow_with(seed: int, prefix: str = "video/torture") -> Workflow:
    """The quick start with many steps and a seed."""
    return small("quick_start", steps=STEPS, seed=seed, filename_prefix=prefix)


def fault_of_cancel(server: ComfyClient, workflow: Workflow, after: float) -> str | None:
    """Description of what went wrong when a run was cancelled ``after`` seconds; None for nothing."""
    cancelled = []

    def cancel() -> None:
        cancelled.append(time.monotonic())
        server.interrupt()

    timer = threading.Timer(after, cancel)
    timer.start()
    try:
        server.run(workflow)
    except PromptInterruptedError:
        waited = time.monotonic() - cancelled[0]
        return f"a run cancelled after {after:.2f} s ended {waited:.1f} s later" if waited > SOON else None
    except PromptFailedError as error:
        return f"a run cancelled after {after:.2f} s failed: {error}"[:300]
    finally:
        timer.cancel()
        timer.join()
    return None
