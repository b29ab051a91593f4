"""What a model was trained on: read from its file, known of the two models there are, noted by training."""

from dataclasses import replace

import pytest

from tests.toys import TINY
from uniavgen_core.bundled.bundled_files import ASSETS, MODEL_FILE
from uniavgen_core.checkpoint.config_from_weights import config_from_shapes, metadata_of
from uniavgen_core.checkpoint.trained_on import (
    BUNDLED_CLIPS,
    RELEASED_CLIPS,
    TRAINED_KEY,
    TrainedOn,
    clips_of_latents,
    metadata_of_clips,
    trained_on,
)
from uniavgen_core.checkpoint.weight_files import WeightFiles
from uniavgen_core.config import PAPER, RELEASED
from uniavgen_core.shapes import FPS


def test_the_bundled_file_is_known_to_have_seen_two_seconds_in_two_sizes():
    files = WeightFiles(ASSETS / MODEL_FILE)
    seen = trained_on(config_from_shapes(files.shapes, files.metadata), files.metadata)
    assert seen == BUNDLED_CLIPS
    assert seen.seconds == 2.0625
    assert [size for size in ((128, 128), (256, 128), (128, 256), (64, 64)) if seen.knows_size(*size)] == [
        (128, 128),
        (256, 128),
    ]


@pytest.mark.parametrize("config", [RELEASED, replace(RELEASED, variant=PAPER)])
def test_a_file_of_the_releases_sizes_is_known_to_have_seen_five_seconds_at_736(config):
    seen = trained_on(config, metadata_of(config))
    assert seen is RELEASED_CLIPS
    assert seen.seconds == 5.0625
    published = [(736, 736), (864, 736), (992, 736), (1120, 736), (1280, 736), (736, 992), (736, 1024), (736, 1120)]
    assert all(seen.knows_size(*size) for size in published)
    assert not any(seen.knows_size(*size) for size in [(704, 704), (1312, 736), (736, 704), (1280, 704)])


def test_of_another_network_nothing_is_known_unless_its_file_says_it():
    assert trained_on(TINY) is None
    seen = TrainedOn(17, 49, ((96, 64),), model="The tiny model")
    assert trained_on(TINY, metadata_of_clips(seen)) == seen
    assert trained_on(RELEASED, metadata_of_clips(seen)) == seen  # a fine-tuned release knows other clips


@pytest.mark.parametrize("said", ["{", "[]", '{"min_frames": 5}', '{"min_frames": 5, "most_frames": 9, "x": 1}'])
def test_metadata_that_cannot_be_read_is_named(said):
    with pytest.raises(ValueError, match=TRAINED_KEY):
        trained_on(TINY, {TRAINED_KEY: said})


def test_clips_of_a_few_sizes_are_told_by_size_and_those_that_keep_their_proportions_by_their_shorter_side():
    seen = clips_of_latents([(9, 8, 8), (5, 8, 16), (9, 8, 8)])
    assert (seen.fewest_frames, seen.most_frames) == (17, 33)
    assert seen.sizes == ((128, 128), (256, 128))
    seen = clips_of_latents([(21, 46, 46), (21, 46, 80), (21, 70, 46)])
    assert seen == TrainedOn(81, 81, (), short_side=736, longest_side=1280)
    assert clips_of_latents([]) is None


def test_lengths_and_sizes_are_told_in_words():
    assert BUNDLED_CLIPS.lengths_in_words == "2.06 s"
    assert BUNDLED_CLIPS.sizes_in_words == "128x128 or 256x128"
    assert TrainedOn(FPS, 81).lengths_in_words == "1 to 5.06 s"
    assert RELEASED_CLIPS.sizes_in_words == "a shorter side of 736 and a longer one of up to 1280"
