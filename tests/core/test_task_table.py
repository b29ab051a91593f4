"""The table of tasks: its directions follow from what is kept, and it can be read where nothing is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from uniavgen_core.config import Interaction
from uniavgen_core.tasks import PAPER_TASKS, REFERENCE_VOICE, TASKS, Keep, interaction_for

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "task", [task for task in TASKS.values() if not task.reference_voice], ids=lambda task: task.name
)
def test_no_direction_runs_into_a_modality_that_is_kept_whole_and_all_others_do(task):
    assert task.interaction is interaction_for(task.video is Keep.ALL, task.audio is Keep.ALL)


def test_a_reference_voice_steers_the_picture_and_the_releases_late_null_pass_runs_both_ways():
    assert REFERENCE_VOICE.interaction is Interaction.AUDIO_TO_VIDEO
    assert REFERENCE_VOICE.late_null_as_released is Interaction.BOTH
    assert [task.name for task in TASKS.values() if task.late_null_as_released] == [REFERENCE_VOICE.name]


def test_the_third_stage_draws_the_five_tasks_as_often_as_the_paper_says():
    assert {task.name: task.share for task in PAPER_TASKS} == {
        "joint": 4, "reference_voice": 1, "continuation": 1, "dubbing": 2, "audio_driven": 2
    }  # fmt: skip


@pytest.mark.parametrize(
    ("video", "audio", "expected"),
    [
        (False, False, Interaction.BOTH),
        (True, False, Interaction.VIDEO_TO_AUDIO),
        (False, True, Interaction.AUDIO_TO_VIDEO),
        (True, True, Interaction.OFF),
    ],
)
def test_what_is_kept_whole_is_not_updated(video, audio, expected):
    assert interaction_for(video_kept=video, audio_kept=audio) is expected


def test_the_demos_options_are_read_without_any_package():
    """``-S`` leaves out ``site-packages``, as where nothing is installed yet."""
    command = "from tools.demo_options import parse; print(parse(['--task', 'audio_driven']).task)"
    done = subprocess.run([sys.executable, "-S", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "audio_driven\n", done.stderr
