"""Live previews while a sampler runs: its picture as ComfyUI shows it, and its sound, sent to the browser.

The sound is vocoded in a thread of its own, quickly and roughly, and never holds up the sampler: a preview that falls
due while another is being made waits for a later step. The last one is of the result, and vocoded with care.
``web/audio_preview.js`` is the other half.

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

from ....uniavgen_core.media.audio.griffin_lim import FEWEST_FRAMES, GriffinLim
from ....uniavgen_core.media.audio.loudness import under_ceiling
from ....uniavgen_core.media.audio.mel import denormalize_mel
from ....uniavgen_core.shapes import SAMPLE_RATE
from ..notices import running_server

EVENT = "uniavgen.audio_preview"
ROUGH = GriffinLim(iterations=16)
"""Makes the sound of a step."""
DEFAULT_EVERY = 5


@dataclass(frozen=True)
class PreviewSettings:
    """What is shown of a sampling run.

    Attributes:
        sound_every: Steps from one sound preview to the next, 0 for none.
        done: Steps of a longer job before this run.
        total: Steps of the whole job; None for a job of its own.
        segment: Number of this run among the segments of a long video, from 1; 0 for a clip of its own.
        segments: Number of segments.
    """

    sound_every: int = 0
    done: int = 0
    total: int | None = None
    segment: int = 0
    segments: int = 0


PICTURES_ONLY = PreviewSettings()


@contextmanager
def live_previews(
    model: comfy.model_patcher.ModelPatcher, steps: int, what: PreviewSettings
) -> Iterator[tuple[Callable[[int, NestedTensor, NestedTensor, int], None], Callable[[NestedTensor], None]]]:
    """Progress, picture and sound of one sampling run.

    Args:
        model: What is sampled from.
        steps: Steps of the run.
        what: What is shown.

    Yields:
        Callback for the sampler: step, denoised, noisy, number of steps; and one that takes the result.
    """
    total = what.total or steps
    show = latent_preview.prepare_callback(model, total)
    sound_previews = SoundPreviews(what, model.model.latent_format)

    def on_step(step: int, denoised: NestedTensor, noisy: NestedTensor, total_steps: int) -> None:
        sound_previews.step(step, denoised, total_steps)
        show(what.done + step, _one_picture(denoised, step), noisy, total)

    try:
        yield on_step, lambda result: sound_previews.finish(result, steps)
    finally:
        sound_previews.stop()


class SoundPreviews:
    """Makes and sends the sound previews of one sampling run."""

    def __init__(self, what: PreviewSettings, latent_format: comfy.latent_formats.LatentFormat) -> None:
        self.what, self.latent_format = what, latent_format
        self._worker: threading.Thread | None = None
        self._is_due = self._is_stopped = False

    def step(self, step: int, denoised: NestedTensor, total_steps: int) -> None:
        """Start a preview where one is due and none is being made; the last step has the result itself."""
        every = self.what.sound_every
        self._is_due |= every > 0 and (step + 1) % every == 0
        is_busy = self._worker is not None and self._worker.is_alive()
        if not self._is_due or is_busy or step + 1 >= total_steps:
            return
        self._is_due = False
        self._start(denoised, {"step": step + 1, "steps": total_steps, "is_result": False})

    def finish(self, result: NestedTensor, total_steps: int) -> None:
        """Start the preview of the result; one that is still being made is not sent any more."""
        self.stop()
        if self.what.sound_every > 0:
            self._start(result, {"step": total_steps, "steps": total_steps, "is_result": True})

    def stop(self) -> None:
        """Send no preview of a step any more; that of the result still is."""
        self._is_stopped = True

    def _start(self, latent: NestedTensor, message: dict[str, Any]) -> None:
        """Make a preview in a thread, where a node runs for somebody."""
        place = get_executing_context()
        if place is None or running_server() is None:
            return
        parts = [part[:1].detach().float().cpu().clone() for part in latent.unbind()]
        about = {"segment": self.what.segment, "segments": self.what.segments}
        message = {"node": place.node_id, "prompt_id": place.prompt_id, **about, **message}
        self._worker = threading.Thread(target=self._make, args=(parts, message), daemon=True)
        self._worker.start()

    @torch.inference_mode()
    def _make(self, parts: list[Tensor], message: dict[str, Any]) -> None:
        """Make one preview and send it. A preview that fails is no reason to fail the run."""
        vocoder = GriffinLim() if message["is_result"] else ROUGH
        try:
            message |= preview_message(*parts, self.latent_format, vocoder)
            server = running_server()
            if server is not None and (message["is_result"] or not self._is_stopped):
                server.send_sync(EVENT, message, server.client_id)
        except Exception:
            logging.debug("UniAVGen: no sound preview of step %d.", message["step"], exc_info=True)


def preview_message(
    video: Tensor, audio: Tensor, latent_format: comfy.latent_formats.LatentFormat, vocoder: GriffinLim = ROUGH
) -> dict[str, Any]:
    """Sound and small pictures of a joint latent, as the browser takes them.

    Args:
        video: Video latent, (1, 48, T, H, W) float32.
        audio: Normalised mel of K tracks, which are mixed, (1, K, S, 80) float32.
        latent_format: Has the colours of the latent's channels.
        vocoder: Makes the sound.

    Returns:
        ``wav``: base64 of a WAV file, 16 bit, N = 240 S samples. ``pictures``: base64 of a PNG, the T latents side by
        side. ``count``: T.

    Raises:
        ValueError: If the mel is not finite or has fewer than two frames.
    """
    if audio.shape[2] < FEWEST_FRAMES:
        raise ValueError(f"{audio.shape[2]} mel frames are too few to hear.")
    mel = denormalize_mel(audio[0]).transpose(1, 2)
    waveform = under_ceiling(vocoder.decode(mel).sum(dim=0)[None, None])[0, 0]
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
        file.writeframes((waveform * 32767).round().to(torch.int16).numpy().astype("<i2").tobytes())
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
