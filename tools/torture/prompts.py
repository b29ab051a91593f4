"""Prompts with values that no widget has: each is refused in words, or runs, and the next good one is answered."""

import copy
import urllib.error
from random import Random
from typing import Any

from ..comfy_client import ComfyClient, PromptFailedError, PromptRejectedError
from ..console import DevError
from ..workflow import Workflow
from .tally import Tally
from .workflows import small

TEMPLATES = ("quick_start", "reference_voice", "audio_driven", "dubbing", "continuation", "long_video", "two_speakers")
NUMBERS = (float("nan"), float("inf"), -float("inf"), -1e30, 1e30, -1, 0, 1e-9, 10**40, "nan", "1e400", "0x10")
TEXTS = (
    "",
    " ",
    "\0",
    "\u202eabc",
    "\U0001f4a5" * 50,
    "a" * 5000,
    "../../x",
    "%s%n{0}",
    "<script>",
    "\ud800",
    "\n" * 99,
)
OTHERS = (None, True, {}, {"a": 1}, [], "no such option", 1.5)
BARE = frozenset(
    {"TypeError", "KeyError", "AttributeError", "IndexError", "ZeroDivisionError", "NameError", "AssertionError",
     "UnboundLocalError", "RecursionError", "UnicodeEncodeError", "StopIteration", "OverflowError"}
)  # fmt: skip
"""Errors of Python that no user can read."""
RAW = "Exception when validating"
"""ComfyUI's words for an error in a node's own validation."""
FEWEST_WORDS = 4
"""Fewest words of a message that says something."""
CHECK_EVERY = 20
PATIENCE = 120.0


def post_hostile_prompts(server: ComfyClient, random: Random, tally: Tally) -> None:
    """Change one widget of a template at a time to a value that it cannot have."""
    good = small("quick_start")
    while tally or not tally.cases:
        name = random.choice(TEMPLATES)
        workflow, changed = hostile(small(name), random)
        tally.count(fault_of(server, workflow, f"{name}: {changed}"))
        if tally.cases % CHECK_EVERY == 0:
            tally.count(fault_of(server, good, "a good prompt after hostile ones", is_good=True))


def hostile(workflow: Workflow, random: Random) -> tuple[Workflow, str]:
    """A copy of a workflow of which a widget of our nodes has another value, and a description of that."""
    workflow = copy.deepcopy(workflow)
    widgets = [
        (number, name)
        for number, node in workflow.items()
        if node["class_type"].startswith("UniAVGen")
        for name, value in node["inputs"].items()
        if not isinstance(value, list)
    ]
    number, name = random.choice(widgets)
    values = NUMBERS if isinstance(workflow[number]["inputs"][name], int | float) else TEXTS
    value: Any = random.choice((*values, *OTHERS))
    workflow[number]["inputs"][name] = value
    return workflow, f"{workflow[number]['class_type']}.{name} = {value!r:.60}"


def fault_of(server: ComfyClient, workflow: Workflow, what: str, *, is_good: bool = False) -> str | None:
    """Description of what is wrong with a server's answer to a prompt; None for nothing."""
    try:
        server.run(workflow, timeout=PATIENCE)
    except PromptFailedError as error:
        return f"{what}: {error}"[:300] if is_good or is_bare(error) else None
    except PromptRejectedError as error:
        return f"{what}: {error}"[:300] if is_good or RAW in str(error) else None
    except (DevError, urllib.error.HTTPError) as error:  # it took too long, or the server has gone
        return f"{what}: {error}"[:300]
    return None


def is_bare(error: PromptFailedError) -> bool:
    """True if a node failed with an error of Python that no user can read."""
    kind, message = error.event["exception_type"].rsplit(".", 1)[-1], error.event["exception_message"]
    return kind in BARE or len(message.split()) < FEWEST_WORDS
