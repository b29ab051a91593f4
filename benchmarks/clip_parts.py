"""Time of the parts of a clip on this machine: a server's start, and quick_start's clip of the bundled model.

Every part is the function that a node of the template calls. A part has two clocks: the processor time of all threads,
which other programs hardly change, and the wall's. The first clip is cold, as after a start; the later ones are warm.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tools.comfy_server import ComfyServer
from tools.environment import ROOT, current
from tools.pack import load_pack
from uniavgen_core.shapes import FPS, SAMPLE_RATE, AVShape

from .peak import peak_of
from .peers import comfy_ops

CAPTION, TRANSCRIPT = "A happy toon with red hair nods while talking to the camera.", "hello happy robot"
PORTRAIT = "toon_5_happy"
PACK_IMPORT, START = "import of the pack", "server start"
LOADING, TEXTS, ENCODING, DENOISING = "load files", "text encoder", "VAE encode", "denoising"
PICTURE, SOUND, CHECKS, MUX, PREVIEW = "VAE decode", "vocoder", "checks of the result", "mux and save", "last preview"
LONG = (1, 48, 65, 4, 4)
"""Shape of latents of 16 seconds, more than the decoder takes at once."""
ALONE = (PACK_IMPORT, START)
"""Parts that are not of a clip."""
IMPORT = """
import os, sys, time
sys.path += [os.environ["COMFYUI_PATH"], sys.argv[1]]
from tools.pack import comfyui_arguments, load_pack
comfyui_arguments("bench clip").cpu = True
import execution, server
started = time.process_time(), time.perf_counter()
load_pack()
print(time.process_time() - started[0], time.perf_counter() - started[1])
"""


@dataclass
class Clock:
    """Processor and wall seconds of parts, by name, one pair for each time that a part ran."""

    seconds: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part, which runs as ComfyUI runs a node."""
        started = time.process_time(), time.perf_counter()
        with torch.inference_mode():
            yield
        self.add(name, time.process_time() - started[0], time.perf_counter() - started[1])

    def add(self, name: str, processor: float, wall: float) -> None:
        """Note one run of a part."""
        self.seconds.setdefault(name, []).append((processor, wall))


def start_server(clock: Clock) -> None:
    """Time the start of a server until it answers, and the import of the pack by a process that has ComfyUI's own."""
    psutil = import_module("psutil")  # ComfyUI brings it.
    started = time.perf_counter()
    with ComfyServer(current()) as server:
        wall = time.perf_counter() - started
        used = psutil.Process(server.pid).cpu_times()
        clock.add(START, used.user + used.system, wall)
    clock.add(PACK_IMPORT, *import_pack())


def import_pack() -> tuple[float, float]:
    """Processor and wall seconds of the pack's import, by Python code that an earlier start has compiled."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:  # ComfyUI has a module of the name `nodes` too.
        for _ in range(2):
            command = [sys.executable, "-c", IMPORT, str(ROOT)]
            done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    processor, wall = map(float, done.stdout.split()[-2:])
    return processor, wall


def pack_nodes() -> Any:
    """The pack's nodes in this process, with ComfyUI on the CPU."""
    comfy_ops("cpu")
    return load_pack().nodes


def load(clock: Clock, nodes: Any) -> tuple[Any, ...]:
    """Load the bundled MODEL, CLIP, video VAE and audio VAE."""
    with clock.part(LOADING):
        names = {"LoadModel": "bundled_toon", "LoadTextEncoder": "bundled_toon", "LoadVideoVAE": "bundled_toon"}
        names |= {"LoadAudioVAE": "griffin_lim"}
        return tuple(getattr(nodes.loaders, node).execute(name).args[0] for node, name in names.items())


def make_clip(clock: Clock, nodes: Any, parts: tuple[Any, ...], path: Path, seed: int) -> None:
    """Make quick_start's clip and save it.

    Args:
        clock: Clock of the parts.
        nodes: The pack's nodes.
        parts: MODEL, CLIP, video VAE and audio VAE.
        path: File to write.
        seed: Seed of the noise. Each clip has its own, since the sound of the latest one is kept.
    """
    model, clip, video_vae, audio_vae = parts
    with clock.part(TEXTS):
        positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (CAPTION, ""))
        positive = nodes.speech_and_reference.SpeechText.execute(positive, TRANSCRIPT).args[0]
    with clock.part(ENCODING):
        (portrait,) = nodes.toon_examples.ToonPortrait.execute(PORTRAIT).args
        size, task = {"size": "match_input"}, {"task": "joint", "image": portrait, "seconds": 0}
        positive, negative, latent, source_media = nodes.task.Task.execute(
            positive, negative, video_vae, size, task
        ).args
    with clock.part(DENOISING):
        widgets = {"seed": seed, "steps": 50, "shift": 5.0, "preset": "auto"}
        sampled = nodes.samplers.Sampler.execute(model, positive, negative, latent, **widgets).args[0]
    video, audio = sampled["samples"].unbind()
    with clock.part(PICTURE):
        pictures = video_vae.decode(video)
    with clock.part(SOUND):
        waveforms = audio_vae.synthesize(audio)
    with clock.part(CHECKS):
        nodes.host.sampling.result_checks.require_finite(video, audio)
        nodes.host.sampling.result_checks.result_notices(pictures, waveforms)
        sound_type = load_pack().uniavgen_core.media.audio.sound.Sound
        frames, fps, sound = source_media.restore(pictures[0], sound_type(waveforms[0], SAMPLE_RATE))
    with clock.part(MUX):
        save(nodes, frames, sound, path, float(fps))
    with clock.part(PREVIEW):
        preview(nodes, model, video, audio)


def save(nodes: Any, frames: Tensor, sound: Any, path: Path, fps: float = FPS) -> None:
    """Save frames (F, H, W, 3) in [0, 1] and a sound as the node does."""
    plans = nodes.host.media.save_plan
    audio = {"waveform": sound.waveform[None], "sample_rate": sound.sample_rate}
    clip = plans.Clip.of(frames, audio, nodes.host.media.source_media.SourceMedia(), fps)
    plans.save_clip(plans.plan_files(clip, plans.AUTO, plans.AUTO), path, {})


def preview(nodes: Any, model: Any, video: Tensor, audio: Tensor) -> None:
    """Draw the preview of a result, whose sound the clip has by then or has from it: it is made once."""
    sampling = nodes.host.sampling
    drawn = sampling.preview_pictures.preview_pictures(model)
    sampling.live_preview.preview_message(video, audio, drawn, sampling.live_preview.RESULT_VOCODER)


def measure_bundled(clock: Clock, clips: int) -> dict[str, float]:
    """Make clips, the first of them cold, and count the memory for decoding pictures of a longer one.

    Returns:
        ``frames``, bytes of the pictures in float32, and ``peak``, the most that decoding holds at once.
    """
    nodes = pack_nodes()
    parts = load(clock, nodes)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(clips):
            make_clip(clock, nodes, parts, Path(folder) / f"{number}.mp4", number)
    with torch.inference_mode():
        video = torch.zeros(LONG)
        frames = parts[2].decode(video).nbytes
        peak = peak_of(lambda: parts[2].decode(video))
    return {"frames": frames, "peak": peak}


def measure_large(shape: AVShape) -> dict[str, float]:
    """Processor seconds of what stays on the CPU at another size: saving, and the sound of previews."""
    nodes, clock = pack_nodes(), Clock()
    ramps = [torch.linspace(0, 1, side) for side in (shape.height, shape.width)]
    picture = torch.stack((*torch.meshgrid(*ramps, indexing="ij"), torch.full((shape.height, shape.width), 0.5)), -1)
    frames = torch.stack([picture.roll(4 * number, dims=1) for number in range(shape.video_frames)])
    seconds = torch.arange(shape.mel_frames * SAMPLE_RATE // 100) / SAMPLE_RATE
    sound = load_pack().uniavgen_core.media.audio.sound.Sound(0.5 * torch.sin(1000 * seconds)[None], SAMPLE_RATE)
    with tempfile.TemporaryDirectory() as folder, clock.part(MUX):
        save(nodes, frames, sound, Path(folder) / "large.mp4")
    mel = torch.randn(1, 80, shape.mel_frames).sub(5)
    with clock.part(PREVIEW):
        load_pack().uniavgen_core.media.audio.griffin_lim.GriffinLim().decode(mel)
    return {name: processor for name, ((processor, _),) in clock.seconds.items()}
