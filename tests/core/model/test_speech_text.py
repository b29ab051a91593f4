"""The speech text encoder."""

import pytest
import torch

from tests.toys import TINY, random_model
from uniavgen_core.model.speech_text import MAX_CHARACTERS


@pytest.fixture(scope="module")
def encoder():
    return random_model().text_embedding


def encode(encoder, *ids):
    return encoder(torch.tensor(ids), torch.float64)


def test_fillers_stay_zero(encoder):
    features = encode(encoder, [3, 1, -1, -1, 4])
    assert features[0, 2:4].abs().max() == 0
    assert features[0, [0, 1, 4]].abs().amax(-1).min() > 0


def test_a_character_changes_what_is_near_directly_and_the_rest_by_the_response_norm(encoder):
    ids = list(range(10)) * 2
    plain = encode(encoder, ids)
    ids[3] = 0
    changed = (encode(encoder, ids) - plain).abs().amax(-1)[0]
    assert changed.min() > 0
    assert changed[:7].min() > 3 * changed[7:].max()


def test_the_same_character_sounds_different_in_another_place(encoder):
    assert (encode(encoder, [5, 5, 5, 5, 5, 5, 5, 5, 5])[0, 4] - encode(encoder, [5])[0, 0]).abs().max() > 1e-3


def test_lines_of_a_batch_do_not_meet(encoder):
    a, b = [1, 2, 3, 4], [5, 6, -1, -1]
    together = encode(encoder, a, b)
    torch.testing.assert_close(together, torch.cat((encode(encoder, a), encode(encoder, b))))


def test_a_text_reads_the_same_however_long_its_neighbours_in_the_batch_are(encoder):
    short, long = list(range(10)), [i % 10 for i in range(17)]
    filled = torch.tensor([short + [-1] * 7, long])
    together = encoder(filled, torch.float64, torch.tensor([10, 17]))
    torch.testing.assert_close(together[:1, :10], encode(encoder, short))
    torch.testing.assert_close(together[1:], encode(encoder, long))


def test_fillers_that_the_audio_branch_sees_take_part_in_the_response_norm(encoder):
    ids = torch.tensor([[3, 1, 4] + [-1] * 7])
    seen, unseen = (encoder(ids, torch.float64, torch.tensor([length])) for length in (10, 3))
    assert (seen - unseen)[0, :3].abs().max() > 1e-3


def test_a_filler_has_the_first_row_and_character_k_the_one_after_its_index(encoder):
    rows = []
    hook = encoder.text_embed.register_forward_pre_hook(lambda _, given: rows.append(given[0].tolist()))
    encode(encoder, [-1, 0, TINY.text.vocabulary - 2])
    hook.remove()
    assert rows == [[[0, 1, TINY.text.vocabulary - 1]]]


def test_an_overlong_transcript_is_refused_by_its_length(encoder):
    with pytest.raises(ValueError, match=str(MAX_CHARACTERS + 1)):
        encoder(torch.zeros(1, MAX_CHARACTERS + 1, dtype=torch.long), torch.float64)
