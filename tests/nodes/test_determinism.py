"""A seed gives the same bits at any time, and a batch gives what its clips give alone with the same noise."""

import comfy.sample
import torch
from comfy.nested_tensor import NestedTensor

from tools.torture.workflows import digest_of, template

QUICK = {"preset": "custom", "steps": 2}


def test_a_seed_gives_the_same_bits_after_other_prompts_and_after_a_restart(server):
    def made(seed):
        return digest_of(server, template("quick_start", **QUICK, seed=seed))

    first = made(5)
    server.run(template("dubbing", **QUICK))
    assert made(5) == first != made(6)
    server.restart()
    assert made(5) == first


def clip_of(nested, number):
    return NestedTensor([part[number : number + 1] for part in nested.unbind()])


def test_a_batch_gives_what_its_clips_give_alone_with_the_same_noise(studio, monkeypatch):
    latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 1.0625, 3).args[0]
    noise = comfy.sample.prepare_noise(latent["samples"], 7)
    positive, negative = studio.texts()

    def sampled(samples, chosen):
        with monkeypatch.context() as patch:
            patch.setattr(comfy.sample, "prepare_noise", lambda *_: chosen)
            return studio.sample(positive, negative, {"samples": samples}, steps=2)["samples"]

    together = sampled(latent["samples"], noise)
    for number in range(3):
        alone = sampled(clip_of(latent["samples"], number), clip_of(noise, number))
        for one, other in zip(clip_of(together, number).unbind(), alone.unbind(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
