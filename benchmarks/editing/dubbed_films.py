"""Joins and voice of long videos that get new sound, made by a real ComfyUI as a user makes them.

A drawn toon that speaks for half a minute is dubbed with its own words through the template *long_dubbing*. The drawn
toon's sound says how much level and spectrum change there anyway, and how alike one voice is with itself.

Dimension key: N samples, M mel frames.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.comfy_server import ComfyServer
from tools.contact_sheet import Clip, read_clip
from tools.environment import current
from tools.make_examples import write_mp4
from tools.template_titles import api_file
from tools.workflow import Workflow, read_workflow, replace_node, set_input
from toon.clips import STEADY, VOICES, Line, ToonClip, recite
from toon.clips.clip import film
from toon.evaluation.judges import Judges
from toon.evaluation.voice_judge import heard_classes
from toon.evaluation.word_recognizer import recognise
from uniavgen_core.evaluation.sound_standins import timbre_consistency
from uniavgen_core.evaluation.word_errors import word_error_rate
from uniavgen_core.media.audio.mel import log_mel
from uniavgen_core.media.audio.sound import resample
from uniavgen_core.media.audio.sound_spans import cut_at_pauses
from uniavgen_core.media.audio.voice_activity import LEVEL_RATE, voice_activity
from uniavgen_core.shapes import FPS, MEL_RATE, SAMPLE_RATE, video_frames_covering

from ..drift import FIRST_SEED, SENTENCE_SECONDS

SEGMENT_FRAMES, KEPT_FRAMES = 33, 9
"""Lengths of the template's segments and of what they share."""
CROSSFADE_SECONDS, SPAN_SECONDS = 0.08, 0.05
"""Length of a join, and of what is compared before and after it."""
WORDS_PER_SECOND = 3.2
"""A little less than toons say."""
FIGURES = ("level", "spectrum", "timbre", "same voice", "words")
_QUIET_DB, _EVERY, _AWAY, _BLOCK = 40.0, 0.05, 0.3, 3


def dub_films(toons: int, seconds: float, seed: int, folder: Path, tell: Callable[[str], None]) -> list[Path]:
    """Draw toons that speak, and dub them with their own words; what is in the folder is not made again.

    Args:
        toons: Number of films.
        seconds: Length of each.
        seed: Seed of the toons.
        folder: Where the drawn films are kept, and beside each the dubbed one, whose name ends with ``-dubbed``.
        tell: Called with a line of progress after each film.

    Returns:
        Paths of the drawn films.
    """
    paths = [folder / f"{seed}-{number}-{seconds:g}.mp4" for number in range(toons)]
    missing = [number for number, path in enumerate(paths) if not dubbed(path).exists()]
    if not missing:
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    with ComfyServer(current()) as server:
        for number in missing:
            toon, path = toon_of(number, seconds, seed), paths[number]
            write_mp4(toon, path)
            job = server.run(workflow_of(toon, server.offer(path)), timeout=3600)
            (video,) = [file for file in job.files() if file["filename"].endswith("mp4")]
            server.download(video, dubbed(path))
            tell(f"dubbed film {number + 1} of {toons}")
    return paths


def toon_of(number: int, seconds: float, seed: int) -> ToonClip:
    """Toon of a film, drawn and spoken: it talks without a pause, so that segments are joined within speech."""
    first = FIRST_SEED + 100 * seed + number
    words = np.random.default_rng(first).choice(STEADY.vocabulary, int(WORDS_PER_SECOND * seconds))
    return film(recite([Line(" ".join(words))], number % len(VOICES), 1, round(FPS * seconds), first), first)


def dubbed(path: Path) -> Path:
    """Path of the dubbed film of a drawn one."""
    return path.with_name(f"{path.stem}-dubbed.mp4")


def dubbed_figures(paths: Sequence[Path], toons: Sequence[ToonClip], judges: Judges) -> dict:
    """Measure dubbed films, and the drawn ones at the same times.

    Args:
        paths: The drawn films.
        toons: The toon of each.
        judges: Trained judges, of which voice and words are asked.

    Returns:
        Means of the films, ``made`` and ``drawn``; see ``sound_figures``. The number of joins is of all films.
    """
    rows: dict[str, list[dict]] = {"made": [], "drawn": []}
    for path, toon in zip(paths, toons, strict=True):
        drawn = read_clip(path)
        joins = joins_of(model_sound(drawn), len(drawn.frames))
        for name, clip, said in (
            ("made", read_clip(dubbed(path)), script_of(toon)),
            ("drawn", drawn, toon.transcript),
        ):
            rows[name].append(sound_figures(model_sound(clip), joins, said, judges))
    return {name: mean_of(films) for name, films in rows.items()}


def workflow_of(toon: ToonClip, video: str) -> Workflow:
    """The template for long dubbing, with a video and what its toon says in the place of its examples."""
    workflow = read_workflow(api_file("long_dubbing"))
    workflow = replace_node(workflow, "Video", "LoadVideo", {"file": video})
    workflow = set_input(workflow, "Caption", "text", toon.caption)
    return set_input(workflow, "Long video", "script", script_of(toon))


def script_of(toon: ToonClip) -> str:
    """New words for a film: three of four that the toon says, because a segment holds fewer than toons can say."""
    return " ".join(word for number, word in enumerate(toon.transcript.split()) if number % 4)


def model_sound(clip: Clip) -> Tensor:
    """Sound of a clip at 24 kHz, (N,)."""
    return resample(torch.from_numpy(clip.sound)[None], clip.sample_rate, SAMPLE_RATE)[0]


def joins_of(waveform: Tensor, video_frames: int) -> list[float]:
    """Times at which the segments of a film with this sound are joined, seconds."""
    ends = cut_at_pauses(
        waveform, video_frames_covering(video_frames / FPS), SEGMENT_FRAMES, SEGMENT_FRAMES - KEPT_FRAMES
    )
    return [end / FPS for end in ends[:-1]]


def sound_figures(waveform: Tensor, joins: Sequence[float], words: str, judges: Judges) -> dict:
    """Figures of the sound of a film.

    Args:
        waveform: At 24 kHz, (N,).
        joins: Times of its joins, seconds.
        words: What it says.
        judges: Trained judges.

    Returns:
        ``level`` and ``spectrum``, mean changes over a join, dB; the same ``elsewhere``; ``timbre``, consistency of the
        last 4.5 seconds of speech with the first; ``same voice``, share of the parts that are heard in the voice of
        most of the first three; ``words``, share right; and the number of ``joins``.
    """
    mel = log_mel(waveform).numpy()
    times = np.arange(_AWAY, mel.shape[1] / MEL_RATE - _AWAY, _EVERY)
    away = [time for time in times if min(abs(time - join) for join in joins) > _AWAY]
    here, elsewhere = (np.mean([jump(mel, time) for time in some], axis=0) for some in (joins, away))
    part, active = round(SENTENCE_SECONDS * SAMPLE_RATE), voice_activity(waveform, SAMPLE_RATE)
    spoken = waveform[: round((np.flatnonzero(active)[-1] + 1) / LEVEL_RATE * SAMPLE_RATE)]
    first, last = spoken[: _BLOCK * part], spoken[-_BLOCK * part :]
    starts = range(0, len(spoken) - part + 1, part)
    parts = torch.stack([log_mel(spoken[start : start + part]) for start in starts])
    voices = heard_classes(judges.voice, parts)
    heard = " ".join(recognise(judges.words, parts))
    return {
        "joins": len(joins),
        "level": float(here[0]),
        "spectrum": float(here[1]),
        "elsewhere": {"level": float(elsewhere[0]), "spectrum": float(elsewhere[1])},
        "timbre": timbre_consistency(last, SAMPLE_RATE, (first, SAMPLE_RATE)),
        "same voice": float((voices == voices[:_BLOCK].mode().values).float().mean()),
        "words": 1 - word_error_rate([words], [heard]),
    }


def jump(mel: np.ndarray, time: float) -> tuple[float, float]:
    """Change of the level and of the spectrum over a join that ends at a time, dB.

    Args:
        mel: Log-mel, natural logarithm, (80, M).
        time: Seconds.

    Returns:
        Absolute difference of the levels of a twentieth of a second before and after it, and mean absolute difference
        of their mel bands. What is 40 dB under the loudest tenth of the sound counts as that loud: it is not heard.
    """
    decibels = 20 / np.log(10) * mel
    floor = np.percentile(decibels.max(0), 90) - _QUIET_DB
    span, start, stop = (round(seconds * MEL_RATE) for seconds in (SPAN_SECONDS, time - CROSSFADE_SECONDS, time))
    around = decibels[:, start - span : start], decibels[:, stop : stop + span]
    bands = [np.maximum(some.mean(1), floor) for some in around]
    levels = [20 * np.log10(np.mean(10 ** (one / 20))) for one in bands]
    return float(abs(levels[1] - levels[0])), float(np.abs(bands[1] - bands[0]).mean())


def mean_of(films: Sequence[dict]) -> dict:
    """Means of the figures of films; joins are counted together."""
    found: dict = {name: float(np.mean([film[name] for film in films])) for name in FIGURES}
    found["elsewhere"] = {
        name: float(np.mean([film["elsewhere"][name] for film in films])) for name in films[0]["elsewhere"]
    }
    return found | {"joins": sum(film["joins"] for film in films)}
