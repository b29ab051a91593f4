"""Example clips for the templates: ``python -m tools.make_examples`` remakes the talking toons of the pack.

They are one clip for each of the eight voices of ``toon.clips``, as mp4 with their transcripts in one JSON file. This
needs espeak-ng's library (requirements-dev.txt) and av, which ComfyUI installs.
"""

import json
import sys
from pathlib import Path

import av
import numpy as np

from toon.clips.clip import ToonClip, film
from toon.clips.sentence import split_of
from toon.clips.speech import VOICES, Emotion, speak
from uniavgen_core.shapes import FPS, SAMPLE_RATE

FOLDER = Path(__file__).parents[1] / "uniavgen_core" / "assets" / "clips"
FIRST_SEED = 910_000  # Beyond all seeds of training.
SENTENCES = (
    "orange tiger yes", "hello water star", "nice red robot", "five happy dog",
    "yes seven moon", "bye sun bird", "hello nice fish", "nine star cloud",
)  # fmt: skip


def example(voice: int) -> ToonClip:
    """Generate the clip of one voice."""
    emotion = list(Emotion)[voice % len(Emotion)]
    return film(speak(SENTENCES[voice], voice, emotion, seed=FIRST_SEED + voice), FIRST_SEED + voice)


def write_mp4(clip: ToonClip, path: Path) -> None:
    """Write frames and sound as nearly lossless H.264 and AAC."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        video = file.add_stream("h264", rate=FPS, options={"crf": "12", "preset": "veryslow"})
        video.height, video.width, video.pix_fmt = *clip.frames.shape[1:3], "yuv420p"
        audio = file.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate = 96_000
        for picture in clip.frames:
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(clip.waveform[None].astype(np.float32), format="fltp", layout="mono")
        sound.sample_rate = SAMPLE_RATE
        file.mux(audio.encode(sound))
        file.mux(audio.encode(None))


def main() -> int:
    """Write all clips and ``clips.json``."""
    FOLDER.mkdir(exist_ok=True)
    texts = {}
    for voice in range(len(VOICES)):
        clip, name = example(voice), f"toon_{voice + 1}"
        write_mp4(clip, FOLDER / f"{name}.mp4")
        texts[name] = {"transcript": clip.transcript, "caption": clip.caption, "split": split_of(clip.transcript)}
    (FOLDER / "clips.json").write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
