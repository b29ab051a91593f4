"""The pictures in docs/architecture.md: every function in them is called, in their order, by a clip and by a step."""

import re
import sys
from pathlib import Path

import torch

from toon import MODEL
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.data.clip_form import ClipForm
from uniavgen_core.training.data.clip_sources import open_source
from uniavgen_core.training.data.encode_clips import EncodeConfig, encode_source
from uniavgen_core.training.data.encoded_clips import load_source
from uniavgen_core.training.paper_stages import STAGES
from uniavgen_core.training.task_sampling import task_objective
from uniavgen_core.training.trainer import Trainer
from uniavgen_core.training.trainer_config import TrainerConfig

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
STATION = re.compile(r'\["<b>([\w.]+)</b><br>([\w/]+\.py)')


def stations(heading):
    """Files and functions in the picture below a heading, from top to bottom."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    found = [(path, function) for function, path in STATION.findall(text)]
    assert len(found) > 8, heading
    return found


def first_calls(run, wanted):
    """Which of the wanted functions a run calls, in the order of their first calls."""
    qualified = sys.version_info >= (3, 11)  # before, code knows only the last part of its name
    names = {
        (str(ROOT / path), function if qualified else function.rpartition(".")[2]): (path, function)
        for path, function in wanted
    }
    calls = {}

    def note(frame, event, _):
        if event == "call":
            code = frame.f_code
            place = names.get((code.co_filename, code.co_qualname if qualified else code.co_name))
            if place:
                calls.setdefault(place)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return list(calls)


def test_a_clip_goes_through_the_functions_of_the_picture_in_their_order(studio):
    wanted = stations("A clip from the node to the file")
    image = studio.image()
    assert first_calls(lambda: studio.make("joint", image=image, seconds=1.0625), wanted) == wanted


def test_a_training_step_goes_through_the_functions_of_the_picture_in_their_order(tmp_path):
    wanted = stations("A step of training")
    encode_source(open_source("toon:2"), EncodeConfig(tmp_path / "clips", ClipForm((64, 64))))
    source = load_source(tmp_path / "clips", MODEL.text)
    stage = STAGES["joint"]
    model = JointModel(MODEL)
    initialize(model)
    config = TrainerConfig(tmp_path, "run", steps=2, batch=2, bar=False, workers=0)
    adam = torch.optim.AdamW(model.parameters(), 1e-4)
    trainer = Trainer(model, [adam], task_objective(source, stage.tasks, 0), config)
    assert first_calls(trainer.run, wanted) == wanted
