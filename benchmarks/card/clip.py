"""A whole clip at the released size in ComfyUI, from seeded weights in files: captions, sampling, picture and sound.

Nothing is stood in for: text encoder, VAE and BigVGAN have their full sizes, ComfyUI loads and offloads all of them,
and the nodes' own functions run. The bundled model goes first, since it shows within seconds whether ComfyUI's memory
management works here. The runs with fewest steps come first, and one that would not be done in time is left out.
"""

import faulthandler
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from tools.pack import load_pack
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, BUNDLED_VIDEO_CODEC
from uniavgen_core.checkpoint.bigvgan_files import VOCODER_FOLDER
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.shapes import AVShape

from .findings import Findings
from .hosted import MemoryWatch, after_node, free_memory, smaller_card
from .run_parts import WHOLE
from .scale import Run, Scale
from .seeded_files import ENCODER, NETWORK, VAE, write_files

CAPTION = "A woman with red hair smiles and talks to the camera in a bright kitchen, in one steady take."
TRANSCRIPT = "hello, how are you today"
STUCK_SECONDS = 90
"""Time after which the bundled model's clip is taken to hang."""
TOON = AVShape(128, 128, 33)
SLACK = 1.1
"""Part of the predicted time by which a run may take longer."""
STAGES = "stage"


@dataclass
class Studio:
    """The parts of the model in ComfyUI's hands, and the clock and the memory of what they do.

    Attributes:
        findings: Place for seconds and peaks.
        run: Settings of the run.
        ballast: Bytes that take the place of memory that a smaller card has not.
        shape: Size of the clip.
        seconds: Seconds of the stages that are done, by name.
        nodes: The pack's nodes.
    """

    findings: Findings
    run: Run
    ballast: int
    shape: AVShape
    seconds: dict[str, float] = field(default_factory=dict)
    nodes: Any = field(default_factory=lambda: load_pack().nodes)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage, as ComfyUI runs a node."""
        watch = MemoryWatch(self.run.scale.device, self.ballast)
        started = time.perf_counter()
        with watch, torch.inference_mode():
            yield
        after_node()
        self.seconds[name] = time.perf_counter() - started
        self.findings.add(STAGES, name, {"seconds": round(self.seconds[name], 2)} | watch.values)

    def load(self) -> tuple[Any, Any, Any, Any]:
        """Load network, text encoder, video codec and audio codec from the seeded files."""
        host, work = self.nodes.host, self.run.work
        with self.stage("load files"):
            model = host.model.load_model.load_uniavgen(str(work / NETWORK), on_notice=self.findings.note)
            clip = host.conditioning.umt5_clip.load_text_encoder(str(work / ENCODER), self.findings.note)
            with _vae_of(self.run.scale):
                video_vae = host.media.video_vae_files.load_video_vae(str(work / VAE))
            vocoder = host.media.vocoder_loader.HostedVocoder(Path(work / VOCODER_FOLDER))
            audio_vae = host.media.vaes.AudioVAE(vocoder)
        return model, clip, video_vae, audio_vae

    def bundled(self) -> tuple[Any, Any, Any, Any]:
        """Load the bundled model's parts."""
        host = self.nodes.host
        model = host.model.load_model.load_uniavgen(str(BUNDLED_MODEL))
        codec = host.media.video_vae_files.load_video_vae(str(BUNDLED_VIDEO_CODEC))
        return model, host.conditioning.bundled_text_encoder.bundled_clip(), codec, host.media.vaes.AudioVAE()

    def conditioned(self, clip: Any, video_vae: Any) -> tuple[Any, Any, dict]:
        """Positive and negative conditioning and the latent of joint generation from a portrait."""
        nodes = self.nodes
        with self.stage("encode captions"):
            positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (CAPTION, ""))
            positive = nodes.speech_and_reference.SpeechText.execute(positive, TRANSCRIPT).args[0]
        with self.stage("encode picture"):
            (portrait,) = nodes.toon_examples.ToonPortrait.execute("toon_5_happy").args
            size = {"size": "custom", "width": self.shape.width, "height": self.shape.height, "fit": "crop"}
            task = {"task": "joint", "image": portrait, "seconds": self.shape.seconds}
            positive, negative, latent, _ = nodes.task.Task.execute(positive, negative, video_vae, size, task).args
        return positive, negative, latent

    def sample(self, model: Any, positive: Any, negative: Any, latent: dict, steps: int) -> dict:
        """Sample with the release's noise levels and guidance."""
        import comfy.samplers

        sampling = self.nodes.host.sampling
        with self.stage(f"{steps} steps"):
            guidance = load_pack().uniavgen_core.config.GuidanceConfig(**vars(GuidanceConfig()))
            guider = sampling.guided_sampling.make_guider(model, positive, negative, guidance)
            sigmas = load_pack().uniavgen_core.diffusion.schedule.release_sigmas(steps)
            euler = comfy.samplers.sampler_object("euler")
            return sampling.run_sampler.run_sampler(guider, euler, sigmas, latent, seed=0)

    def decode(self, sampled: dict, video_vae: Any, audio_vae: Any) -> tuple[Tensor, Tensor]:
        """Decode pictures (1, F, H, W, 3) and sound (1, N, 1)."""
        video, audio = sampled["samples"].unbind()
        with self.stage("decode picture"):
            pictures = video_vae.decode(video)
        with self.stage("decode sound"):
            sound = audio_vae.decode(audio)
        return pictures, sound


def measure(findings: Findings, run: Run) -> None:
    """Make the clip with each number of steps, within the memory of the card or of a smaller one."""
    with smaller_card(run.scale.device, run.limit_gib) as ballast:
        bundled_first(Studio(findings, run, ballast, TOON if run.scale.device == "cuda" else run.scale.shapes[0]))
        started = time.perf_counter()
        write_files(findings, run)
        findings.add(STAGES, "write seeded files", {"seconds": round(time.perf_counter() - started, 2)})
        free_memory()
        whole_clips(Studio(findings, run, ballast, run.scale.shapes[0]))


def bundled_first(studio: Studio) -> None:
    """Make one small clip with the bundled model; a process that hangs here is ended with a trace of its threads."""
    faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True)
    with studio.stage("load the bundled model"):
        model, clip, *codecs = studio.bundled()
    sampled = studio.sample(model, *studio.conditioned(clip, codecs[0]), steps=1)
    check(*studio.decode(sampled, *codecs))
    faulthandler.cancel_dump_traceback_later()
    studio.findings.tables.pop(STAGES)


def whole_clips(studio: Studio) -> None:
    """Make the clip once with the fewest steps and decode it, then sample with more as long as there is time."""
    findings, (first, *others) = studio.findings, studio.run.scale.steps
    model, clip, *codecs = studio.load()
    conditioned = studio.conditioned(clip, codecs[0])
    sampled = studio.sample(model, *conditioned, first)
    check(*studio.decode(sampled, *codecs))
    add_whole(studio, first)
    slowest = studio.seconds[f"{first} steps"] / first  # Loading the network is part of the first run.
    for steps in others:
        predicted, left = slowest * steps * SLACK, findings.seconds_left
        if predicted > left:
            findings.note(f"{steps} steps would take about {predicted:.0f} s, and {left:.0f} s are left.")
            continue
        with findings.attempt(f"{steps} steps"):
            studio.sample(model, *conditioned, steps)
            add_whole(studio, steps)
            slowest = studio.seconds[f"{steps} steps"] / steps


def add_whole(studio: Studio, steps: int) -> None:
    """Add the time of a whole clip with so many steps: its own sampling, and the other stages, which are the same."""
    stages = ("encode captions", "encode picture", f"{steps} steps", "decode picture", "decode sound")
    rows = [studio.findings.tables[STAGES][name] for name in stages]
    peaks = {key: max(row[key] for row in rows) for key in ("tensors_gb", "device_gb") if key in rows[0]}
    shape = studio.shape
    findings = {
        "clip": shape.label,
        "seconds": round(sum(studio.seconds[name] for name in stages), 2),
        "seconds of a step": round(studio.seconds[f"{steps} steps"] / steps, 3),
    }
    studio.findings.add(WHOLE, f"{steps} steps", findings | peaks)


def check(pictures: Tensor, sound: Tensor) -> None:
    """Refuse a clip that holds values that are not finite.

    Raises:
        ValueError: If it does.
    """
    for name, values in (("picture", pictures), ("sound", sound)):
        if not torch.isfinite(values).all():
            raise ValueError(f"The {name} holds values that are not finite.")


def _vae_of(scale: Scale) -> AbstractContextManager:
    """Let ComfyUI build Wan2.2's VAE in other widths than its own, which a rehearsal needs."""
    import comfy.ldm.wan.vae2_2

    build = comfy.ldm.wan.vae2_2.WanVAE
    return patch.object(comfy.ldm.wan.vae2_2, "WanVAE", lambda **sizes: build(**sizes | scale.vae))
