"""Live previews while a sampler runs: its picture as ComfyUI shows it, and its sound, sent to the browser.

The sound is vocoded in a thread of its own, quickly and roughly, and never holds up the sampler: a preview that falls
due while another is being made waits for a later step. ``web/audio_preview.js`` is the other half.

Dimension key: B batch, K audio tracks, T video latents, H and W latent rows and columns, S mel frames, N samples.
"""

import base64
import io
import logging
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.latent_formats
import comfy.model_patcher
import latent_preview
import torch
from comfy.nested_tensor import NestedTensor
from comfy_execution.utils import get_executing_context
from PIL import Image
from torch import Tensor

from ...uniavgen_core.media.mel import denormalize_mel
from ...uniavgen_core.media.vocoder import FEWEST_FRAMES, GriffinLim
from ...uniavgen_core.shapes import SAMPLE_RATE
from .notices import running_server

EVENT = "uniavgen.audio_preview"
ITERATIONS = 16
DEFAULT_EVERY = 5


@dataclass(frozen=True)
class Show:
    """What is shown of a sampling run.

    Attributes:
        sound_every: Steps from one sound preview to the next, 0 for none.
        done: Steps of a longer job before this run.
        total: Steps of the whole job; None for a job of its own.
    """

    sound_every: int = 0
    done: int = 0
    total: int | None = None


NOTHING_BUT_PICTURES = Show()


@contextmanager
def live_previews(
    model: comfy.model_patcher.ModelPatcher, steps: int, what: Show
) -> Iterator[Callable[[int, NestedTensor, NestedTensor, int], None]]:
    """Progress, picture and sound of one sampling run.

    Args:
        model: What is sampled from.
        steps: Steps of the run.
        what: What is shown.

    Yields:
        Callback for the sampler: step, denoised, noisy, number of steps.
    """
    total = what.total or steps
    show = latent_preview.prepare_callback(model, total)
    listener = Listener(what.sound_every, model.model.latent_format)

    def on_step(step: int, denoised: NestedTensor, noisy: NestedTensor, total_steps: int) -> None:
        listener.step(step, denoised, total_steps)
        show(what.done + step, _one_picture(denoised, step), noisy, total)

    try:
        yield on_step
    finally:
        listener.stop()


class Listener:
    """Makes and sends the sound previews of one sampling run."""

    def __init__(self, every: int, latent_format: comfy.latent_formats.LatentFormat) -> None:
        self.every, self.latent_format = every, latent_format
        self._worker: threading.Thread | None = None
        self._is_due = self._is_stopped = False

    def step(self, step: int, denoised: NestedTensor, total_steps: int) -> None:
        """Start a preview where one is due and none is being made; the last step has the result itself."""
        self._is_due |= self.every > 0 and (step + 1) % self.every == 0
        is_busy = self._worker is not None and self._worker.is_alive()
        place = get_executing_context()
        if not self._is_due or is_busy or step + 1 >= total_steps or place is None or running_server() is None:
            return
        self._is_due = False
        parts = [part[:1].detach().float().cpu().clone() for part in denoised.unbind()]
        message = {"node": place.node_id, "prompt_id": place.prompt_id, "step": step + 1, "steps": total_steps}
        self._worker = threading.Thread(target=self._make, args=(parts, message), daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Send nothing more."""
        self._is_stopped = True

    @torch.inference_mode()
    def _make(self, parts: list[Tensor], message: dict[str, Any]) -> None:
        """Make one preview and send it. A preview that fails is no reason to fail the run."""
        try:
            message |= describe(*parts, self.latent_format)
            server = running_server()
            if not self._is_stopped and server is not None:
                server.send_sync(EVENT, message, server.client_id)
        except Exception:
            logging.debug("UniAVGen: no sound preview of step %d.", message["step"], exc_info=True)


def describe(video: Tensor, audio: Tensor, latent_format: comfy.latent_formats.LatentFormat) -> dict[str, Any]:
    """Sound and small pictures of a joint latent, as the browser takes them.

    Args:
        video: Video latent, (1, 48, T, H, W) float32.
        audio: Normalised mel of K tracks, which are mixed, (1, K, S, 80) float32.
        latent_format: Has the colours of the latent's channels.

    Returns:
        ``wav``: base64 of a WAV file, 16 bit, N = 240 S samples. ``pictures``: base64 of a PNG, the T latents side by
        side. ``count``: T.

    Raises:
        ValueError: If the mel is not finite or has fewer than two frames.
    """
    if audio.shape[2] < FEWEST_FRAMES:
        raise ValueError(f"{audio.shape[2]} mel frames are too few to hear.")
    mel = denormalize_mel(audio[0]).transpose(1, 2)
    waveform = GriffinLim(iterations=ITERATIONS).decode(mel).sum(dim=0)
    pictures = io.BytesIO()
    _paint(video[0], latent_format).save(pictures, "PNG")
    return {
        "wav": base64.b64encode(wav_file(waveform)).decode(),
        "pictures": base64.b64encode(pictures.getvalue()).decode(),
        "count": video.shape[2],
    }


def wav_file(waveform: Tensor) -> bytes:
    """A WAV file, 16 bit, of one channel at 24 kHz in [-1, 1], (N,)."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((waveform.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().astype("<i2").tobytes())
    return target.getvalue()


def _paint(video: Tensor, latent_format: comfy.latent_formats.LatentFormat) -> Image.Image:
    """Colours of a video latent (48, T, H, W): its T pictures side by side."""
    factors = torch.tensor(latent_format.latent_rgb_factors)
    bias = torch.tensor(latent_format.latent_rgb_factors_bias or [0.0, 0.0, 0.0])
    colours = torch.einsum("cthw,ck->htwk", video, factors) + bias
    pixels = ((colours + 1) / 2).clamp(0, 1).mul(255).to(torch.uint8).flatten(1, 2)
    return Image.fromarray(pixels.numpy())


def _one_picture(denoised: NestedTensor, step: int) -> NestedTensor:
    """Keep one video latent, another at every step: ComfyUI's previewers show the first, here the still reference."""
    video, *others = denoised.unbind()
    shown = 1 + step % (video.shape[2] - 1) if video.shape[2] > 1 else 0
    return NestedTensor([video[:, :, shown : shown + 1], *others])
