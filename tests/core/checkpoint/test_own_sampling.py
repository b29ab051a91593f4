"""The sampling that suits a file's network, as its metadata say it."""

import pytest

from uniavgen_core.checkpoint.own_sampling import SAMPLING_KEY, OwnSampling, own_sampling
from uniavgen_core.diffusion.sampling_presets import NO_GUIDANCE, PRESETS


def test_a_file_says_how_its_network_is_sampled_and_what_it_leaves_out_is_the_releases():
    sampling = OwnSampling(8, guided=False)
    assert own_sampling(sampling.metadata | {"other": "{}"}) == sampling
    assert (sampling.preset.steps, sampling.preset.guidance) == (8, NO_GUIDANCE)
    assert own_sampling({SAMPLING_KEY: "{}"}).preset == PRESETS["release"]
    assert own_sampling({}) is None


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("{", "is not JSON"),
        ("[8]", "is not a JSON object"),
        ('{"passes": 8}', "has no field named passes"),
        ('{"steps": 0}', "steps is 0; it must be from 1 to 1000"),
        ('{"steps": 1e999}', "steps"),
        ('{"steps": true}', "it must be a whole number"),
        ('{"guided": 1}', "it must be true or false"),
    ],
)
def test_metadata_that_cannot_be_read_are_named_with_the_fault(said, fault):
    with pytest.raises(ValueError, match=f"{SAMPLING_KEY}.*{fault}"):
        own_sampling({SAMPLING_KEY: said})
