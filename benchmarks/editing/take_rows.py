"""Takes of held-out toons, rated as *UniAVGen Best Take* rates them, and measured by judges that the rating lacks.

Finished sentences are kept on disk, one line each, so that an interrupted run goes on where it was.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toon.evaluation.bundle_report import EVALUATION_SEED, SEEDS_APART, WORLDS, codec_beside
from toon.evaluation.cases import Case, cases_of
from toon.evaluation.generate_cases import Made, Store, decode, generate
from toon.evaluation.judge_data import draw_sounds
from toon.evaluation.judges import Judges
from toon.evaluation.measures import measure_cases
from toon.evaluation.word_recognizer import WordRecognizer, recognise, train_recognizer
from uniavgen_core.atomic_write import atomic_write
from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.diffusion.sampling_presets import TOON_GUIDANCE
from uniavgen_core.evaluation.takes import Hear, Take, best_first, draw_takes, rate_take
from uniavgen_core.media.audio.mel import log_mel
from uniavgen_core.pipeline import SampleConfig
from uniavgen_core.shapes import FPS, SAMPLE_RATE
from uniavgen_core.tasks import JOINT

TAKES = 4
JUDGED = ("words", "corr", "broken", "psnr_background", "sharpness")
"""Measures of ``dev.py evaluate`` that takes are compared by."""
RECOGNIZER_SEED = 5_700_000
"""First seed of the sounds of the recognizer that rates takes; the judge of words has learned others."""
STAGES = ("generation", "decoding", "rating")
_SHEETS = 4
Row = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A network whose takes are compared.

    Attributes:
        name: What the report calls it.
        weights: Its file; a codec in the same folder is used.
        world: World of its toons.
        steps: Sampling steps, without guidance, so that each is one pass.
    """

    name: str
    weights: Path
    world: str
    steps: int


@dataclass(frozen=True)
class RecognizerRecipe:
    """Training of the recognizer that rates takes.

    Attributes:
        sounds: Number of sounds.
        steps: Training steps.
    """

    sounds: int = 1250
    steps: int = 1500

    def scaled(self, share: float) -> "RecognizerRecipe":
        """The same recipe with less material and training; at least eight of each remain."""
        return RecognizerRecipe(max(8, round(share * self.sounds)), max(8, round(share * self.steps)))


def recognizer_of(folder: Path, recipe: RecognizerRecipe, tell: Callable[[str], None]) -> Hear:
    """Load a recognizer of the toons' words that shares no sound and no weight with the judge's, or train it.

    Args:
        folder: Folder of cached judges.
        recipe: Its training.
        tell: Called with a line of progress before it is trained.

    Returns:
        The recognizer, as the node takes it.
    """
    path = folder / f"recognizer-{sha256(repr(recipe).encode()).hexdigest()[:12]}.pt"
    if not path.exists():
        tell("Training the recognizer that rates takes")
        drawn = draw_sounds(RECOGNIZER_SEED, recipe.sounds)
        trained = train_recognizer(drawn.mels, drawn.transcripts, recipe.steps, seed=1, spans=drawn.spans)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            torch.save(trained.state_dict(), partial)
    model = WordRecognizer().eval().requires_grad_(False)
    model.load_state_dict(torch.load(path, weights_only=True))

    def hear(waveform: Tensor, sample_rate: int) -> str:
        del sample_rate
        return recognise(model, log_mel(waveform)[None])[0]

    return hear


class TakeStudio:
    """Generates, rates and measures the takes of sentences, one sentence at a time.

    Attributes:
        network: The network.
        judges: Judges that are not among those which rate.
        hear: Recognizer of words for the rating.
    """

    def __init__(self, network: Network, judges: Judges, hear: Hear) -> None:
        self.network, self.judges, self.hear = network, judges, hear
        self.config = SampleConfig(network.steps, guidance=TOON_GUIDANCE)
        self._codec_path = codec_beside(network.weights)
        self._model = load_model(network.weights, dtype=torch.float32)
        self._codec = load_codec(self._codec_path)

    def rows(self, count: int, seed: int, folder: Path, tell: Callable[[str], None]) -> list[Row]:
        """Rows of the first ``count`` sentences of a seed; those that are in the folder are read from it.

        Args:
            count: Number of sentences.
            seed: Seed of the toons.
            folder: Folder of finished sentences, and of the node's table for the first of them.
            tell: Called with a line of progress after each sentence.

        Returns:
            One row a sentence; see ``row``.
        """
        store = Store.of(folder, [self.network.weights, self._codec_path], self.config, seed)
        path = folder / f"takes-{store.key}.jsonl"
        done = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
        if len(done) >= count:
            return done[:count]
        cases = cases_of(JOINT.name, count, EVALUATION_SEED + SEEDS_APART * seed, WORLDS[self.network.world])
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(len(done), count):
            row, table = self.row(cases[number], number)
            done.append(row)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            if number < _SHEETS:
                Image.fromarray(table).save(folder / f"takes-{self.network.world}-{number + 1}.png")
            tell(f"{self.network.name}: sentence {number + 1} of {count}")
        return done

    def row(self, case: Case, number: int) -> tuple[Row, np.ndarray]:
        """Takes of one sentence.

        Args:
            case: The sentence.
            number: Its number, which seeds the noise.

        Returns:
            ``takes``, a dictionary each: ``plain`` and ``heard``, totals of the node without and with a recognizer, and
            the measures of ``JUDGED``; and the ``seconds`` of one core that generation, decoding and rating took. Then
            the table that the node shows.
        """
        times = [time.process_time()]
        latents = generate(self._model, self._codec, [case] * TAKES, self.config, TAKES * number)
        times.append(time.process_time())
        clips = decode(self._codec, *latents)
        times.append(time.process_time())
        rated = [self._rated(clip, case, TAKES * number + place) for place, clip in enumerate(clips)]
        times.append(time.process_time())
        seconds = {name: after - before for name, (before, after) in zip(STAGES, pairwise(times), strict=True)}
        return {"takes": self.measured(clips, rated, case), "seconds": seconds}, draw_takes(best_first(rated))

    def _rated(self, clip: Made, case: Case, seed: int) -> Take:
        return rate_take(seed, clip.frames, FPS, (clip.waveform, SAMPLE_RATE), case.words.text or "", self.hear)

    def measured(self, clips: Sequence[Made], rated: Sequence[Take], case: Case) -> list[dict[str, float]]:
        """Totals and measures of the takes of one sentence, one dictionary each; see ``row``."""
        values = [measure_cases("take", [clip], [case], self.judges).values for clip in clips]
        return [
            {"plain": without_words(take), "heard": take.total} | {name: found[name] for name in JUDGED}
            for take, found in zip(rated, values, strict=True)
        ]


def without_words(take: Take) -> float:
    """Total of a take as the node gives it where there is no recognizer."""
    ratings = {name: value for name, value in take.ratings.items() if name != "words"}
    return Take(take.seed, ratings, take.thumbnails).total
