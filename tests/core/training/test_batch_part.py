"""Parts of a batch: what they draw does not depend on how the batch is divided."""

import pytest

from uniavgen_core.training.batch_part import Part


def drawn(part, seed=0):
    return [random.integers(2**40) for random in part.own(seed)]


def test_an_example_draws_the_same_however_the_batch_is_divided():
    whole = drawn(Part(3, 0, 6))
    assert drawn(Part(3, 0, 2)) + drawn(Part(3, 2, 3)) + drawn(Part(3, 5, 1)) == whole
    assert len(set(whole)) == 6


def test_seed_step_and_example_all_count():
    first = drawn(Part(3, 1, 1))
    assert drawn(Part(3, 1, 1)) == first
    assert drawn(Part(3, 2, 1)) != first
    assert drawn(Part(4, 1, 1)) != first
    assert drawn(Part(3, 1, 1), seed=1) != first


def test_what_is_shared_is_one_for_all_parts_of_a_step_and_no_example_s_own():
    shared = [Part(5, first, 2).shared(0).integers(2**40) for first in (0, 2, 4)]
    assert len(set(shared)) == 1
    assert shared[0] not in drawn(Part(5, 0, 6))
    assert Part(6, 0, 2).shared(0).integers(2**40) != shared[0]


def test_parts_of_larger_examples_cover_a_smaller_batch_once():
    parts = [Part(0, first, 4).thinned(2) for first in (0, 4)]
    assert [(part.first, part.count) for part in parts] == [(0, 2), (2, 2)]
    with pytest.raises(ValueError, match="fewer processes"):
        Part(0, 1, 1).thinned(2)
