"""A lip-sync meter: the probability that mouth and sound are in sync, and the lag of the sound."""

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..uniavgen_core.evaluation.mouth_finder import MASK_SHOWS
from ..uniavgen_core.evaluation.sync_meter import SyncReading, measure_sync
from ..uniavgen_core.evaluation.sync_plot import describe_lag, draw_sync
from .host.notices import show_progress
from .sockets import aliases, float_input


class SyncMeter(io.ComfyNode):
    """Measures the lip-sync of a video: the probability that mouth and sound are in sync, and the lag of the sound."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSyncMeter",
            display_name="UniAVGen Sync Meter",
            category="UniAVGen/evaluation",
            search_aliases=aliases("lip sync, lipsync score, syncnet, audio video sync, evaluate, 口型评分, 音画同步"),
            description="Measures lip-sync: compares the movement of the mouth with the loudness of the audio, and "
            "states its confidence.",
            inputs=[
                io.Image.Input("images", tooltip="The video's frames, at least eight."),
                io.Audio.Input("audio", tooltip="The video's audio; of a batch, the first."),
                float_input(
                    "fps", default=16.0, min=1.0, max=240.0, step=0.01, tooltip="Frames per second of the video."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the speaker's face or mouth is: one mask, or one for each frame. Without it, the "
                    "mouth of the largest face is measured.",
                ),
                io.Combo.Input(
                    "mask_type",
                    options=list(MASK_SHOWS),
                    optional=True,
                    tooltip="What the mask covers. Of a face, the lower half is used.",
                ),
            ],
            outputs=[
                io.Float.Output(display_name="score", tooltip="Probability that mouth and audio are in sync, 0 to 1."),
                io.Float.Output(
                    display_name="lag_ms", tooltip="How late the audio is, in milliseconds; negative if early."
                ),
                io.Image.Output(display_name="plot", tooltip="Mouth movement and loudness over time."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images, audio, fps=16.0, mask=None, mask_type=MASK_SHOWS[0]) -> io.NodeOutput:
        waveform = _first_sound(audio)
        reading = measure_sync(images, fps, waveform, int(audio["sample_rate"]), mask, mask_type)
        plot = torch.from_numpy(draw_sync(reading, images).astype(np.float32) / 255)[None]
        text = describe_reading(reading)
        show_progress(text)  # the editor shows the text of ``ui`` on its own nodes only
        preview = {**ui.PreviewText(text).as_dict(), **ui.PreviewImage(plot, cls=cls).as_dict()}
        return io.NodeOutput(reading.score, reading.lag_ms, plot, ui=preview)


def describe_reading(reading: SyncReading) -> str:
    """Text with the results of a reading, one per line."""
    lines = [
        f"{reading.verdict} (score {reading.score:.2f}; {reading.chance:.2f} with reversed audio).",
        f"Best lag {reading.lag_ms:+.0f} ms: {describe_lag(reading)}",
    ]
    return "\n".join((*lines, *reading.notices))


def _first_sound(audio: dict | None) -> torch.Tensor:
    """Waveform of the first sound of an AUDIO, (channels, N); an empty one is refused."""
    waveform = None if audio is None else audio["waveform"]
    if waveform is None or waveform.ndim != 3 or not len(waveform):
        raise ValueError("The audio is empty, so there is nothing to compare. Does the video have an audio track?")
    return waveform[0]
