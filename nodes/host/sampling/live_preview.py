"""Live previews during sampling: pictures through ComfyUI's previewer, and sound that is sent to the browser.

A separate thread vocodes the sound with few iterations and never delays the sampler: a preview that is due while
another is being made is postponed to a later step. The last preview is of the result, with the sound of the clip
itself. ``web/audio_preview.js`` plays the sound.

Dimension key: K audio tracks, T video latents, H and W latent rows and columns, S mel frames, N samples.
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

import comfy.model_patcher
import latent_preview
import torch
from comfy.nested_tensor import NestedTensor
from comfy_execution.utils import get_executing_context
from torch import Tensor

from ....uniavgen_core.media.audio.griffin_lim import FEWEST_FRAMES, GriffinLim
from ....uniavgen_core.media.audio.loudness import under_ceiling
from ....uniavgen_core.media.audio.mel import denormalize_mel
from ....uniavgen_core.shapes import SAMPLE_RATE
from ..media.shared_griffin_lim import RESULT_VOCODER, SharedGriffinLim
from ..notices import running_server
from .preview_pictures import PreviewPictures, preview_pictures

EVENT = "uniavgen.audio_preview"
FAST_VOCODER = GriffinLim(iterations=16)
"""Vocoder for the previews of single steps."""
DEFAULT_EVERY = 5


@dataclass(frozen=True)
class PreviewSettings:
    """Settings of the previews of one sampling run.

    Attributes:
        sound_every: Number of steps between sound previews; 0 for none.
        segment: Number of this segment of a long video, from 1; the progress bar counts over all of them.
        segments: Number of segments.
    """

    sound_every: int = 0
    segment: int = 1
    segments: int = 1


PICTURES_ONLY = PreviewSettings()


@contextmanager
def live_previews(
    model: comfy.model_patcher.ModelPatcher, steps: int, settings: PreviewSettings
) -> Iterator[tuple[Callable[[int, NestedTensor, NestedTensor, int], None], Callable[[NestedTensor], None]]]:
    """Show progress, pictures and sound of one sampling run.

    Args:
        model: MODEL that is sampled.
        steps: Steps of the run.
        settings: Settings of the previews.

    Yields:
        A callback for the sampler (step, denoised, noisy, number of steps), and a callback for the result.
    """
    done, total = steps * (settings.segment - 1), steps * settings.segments
    show = latent_preview.prepare_callback(model, total)
    sound_previews = SoundPreviews(settings, preview_pictures(model))

    def on_step(step: int, denoised: NestedTensor, noisy: NestedTensor, total_steps: int) -> None:
        sound_previews.step(step, denoised, total_steps)
        show(done + step, _one_picture(denoised, step), noisy, total)

    try:
        yield on_step, lambda result: sound_previews.finish(result, steps)
    finally:
        sound_previews.stop()


class SoundPreviews:
    """Makes and sends the sound previews of one sampling run.

    Attributes:
        worker: Thread of the latest preview, or None before the first.
    """

    def __init__(self, settings: PreviewSettings, pictures: PreviewPictures) -> None:
        self.settings, self.pictures = settings, pictures
        self.worker: threading.Thread | None = None
        self._is_due = self._is_stopped = False

    def step(self, step: int, denoised: NestedTensor, total_steps: int) -> None:
        """Start a preview if one is due and none is being made; none is made of the last step, only of the result."""
        every = self.settings.sound_every
        self._is_due |= every > 0 and (step + 1) % every == 0
        is_busy = self.worker is not None and self.worker.is_alive()
        if not self._is_due or is_busy or step + 1 >= total_steps:
            return
        self._is_due = False
        self._start(denoised, {"step": step + 1, "steps": total_steps, "is_result": False})

    def finish(self, result: NestedTensor, total_steps: int) -> None:
        """Start the preview of the result; a preview of a step that is still being made is no longer sent."""
        self.stop()
        if self.settings.sound_every > 0:
            self._start(result, {"step": total_steps, "steps": total_steps, "is_result": True})

    def stop(self) -> None:
        """Send no more previews of steps; a preview of the result is still sent."""
        self._is_stopped = True

    def _start(self, latent: NestedTensor, message: dict[str, Any]) -> None:
        """Make a preview in a thread, if a server executes the node."""
        context = get_executing_context()
        if context is None or running_server() is None:
            return
        parts = [part[:1].detach().float().cpu().clone() for part in latent.unbind()]
        position = {"segment": self.settings.segment, "segments": self.settings.segments}
        message = {"node": context.node_id, "prompt_id": context.prompt_id, **position, **message}
        self.worker = threading.Thread(target=self._make, args=(parts, message), daemon=True)
        self.worker.start()

    @torch.inference_mode()
    def _make(self, parts: list[Tensor], message: dict[str, Any]) -> None:
        """Make one preview and send it; an error is logged, and neither this thread nor the run ends with it."""
        vocoder = RESULT_VOCODER if message["is_result"] else FAST_VOCODER
        try:
            video, audio = parts
            message |= preview_message(video, audio, self.pictures, vocoder)
            server = running_server()
            if server is not None and (message["is_result"] or not self._is_stopped):
                server.send_sync(EVENT, message, server.client_id)
        except Exception:
            logging.warning("The audio preview of step %d failed; sampling goes on.", message["step"], exc_info=True)


def preview_message(
    video: Tensor, audio: Tensor, drawn: PreviewPictures, vocoder: GriffinLim | SharedGriffinLim = FAST_VOCODER
) -> dict[str, Any]:
    """Sound and small pictures of a joint latent, encoded for the browser.

    Args:
        video: Video latent, (1, 48, T, H, W) float32.
        audio: Normalised mel of K tracks, which are mixed, (1, K, S, 80) float32.
        drawn: Draws the pictures.
        vocoder: Makes the sound.

    Returns:
        ``wav``: base64 of a WAV file, 16 bit, N = 240 S samples. ``pictures``: base64 of a PNG, pictures side by side.
        ``count``: their number. ``frames_per_picture``: frames that each stands for; the first stands for one.

    Raises:
        ValueError: If the mel is not finite or has fewer than two frames.
    """
    if audio.shape[2] < FEWEST_FRAMES:
        raise ValueError(f"{audio.shape[2]} mel frames are too few to hear.")
    mel = denormalize_mel(audio[0]).transpose(1, 2)
    waveform = under_ceiling(vocoder.decode(mel).sum(dim=0)[None, None])[0, 0]
    sound, pictures = io.BytesIO(), io.BytesIO()
    with wave.open(sound, "wb") as file:  # Not scipy's writer, whose import takes a fifth of a second at start-up.
        file.setparams((1, 2, SAMPLE_RATE, len(waveform), "NONE", ""))
        file.writeframes((waveform * 32767).round().to(torch.int16).numpy().astype("<i2").tobytes())
    strip = drawn.strip(video)
    strip.image.save(pictures, "PNG", compress_level=1)
    return {
        "wav": base64.b64encode(sound.getvalue()).decode(),
        "pictures": base64.b64encode(pictures.getvalue()).decode(),
        "count": strip.count,
        "frames_per_picture": strip.frames_per_picture,
    }


def _one_picture(denoised: NestedTensor, step: int) -> NestedTensor:
    """Select another video latent at every step, because ComfyUI would always show the first, the reference image."""
    video, *others = denoised.unbind()
    index = 1 + step % (video.shape[2] - 1) if video.shape[2] > 1 else 0
    return NestedTensor([video[:, :, index : index + 1], *others])
