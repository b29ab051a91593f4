"""The judges of toon clips: words, voice, emotions of voice and face, places, gaze, broken eyes and mouths.

They are trained on toons with seeds from 5,000,000, which no training or evaluation of the model uses. Their accuracy
on held-out toons is stored with them, because a judge's own errors bound its conclusions. Those of the default recipe
come with the repository; ``python -m toon.evaluation.judges`` trains them again.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from uniavgen_core.atomic_write import atomic_write
from uniavgen_core.evaluation.word_errors import word_error_rate

from ..clips import VOICES, Emotion, ToonClip, make_clip
from .broken_parts import PARTS, PartJudge, are_broken, draw_parts, train_part_judge
from .face_judge import FaceJudge, seen_emotions, train_face_judge
from .face_places import PlaceFinder, mouth_places, train_place_finder
from .gaze_judge import GazeJudge, eye_crops, train_gaze_judge
from .judge_data import HELD_OUT_SEED, JUDGE_SEED, draw_faces, draw_sounds, world_in_turn
from .voice_judge import SoundJudge, heard_classes, train_sound_judge
from .word_recognizer import VOCABULARY, WordRecognizer, recognise, train_recognizer

NAMES = ("words", "voice", "emotion, sound", "emotion, face", "place", "gaze", "eyes", "mouth")
_SOURCES = (
    "judge_training.py", "judge_data.py", "face_judge.py", "word_recognizer.py", "voice_judge.py", "face_places.py",
    "broken_parts.py", "gaze_judge.py",
)  # fmt: skip
SHIPPED = Path(__file__).with_name("judges.safetensors")
_PART_FRAMES = 33
_NEAR_PIXELS, _NEAR_GAZE = 1.5, 0.25


@dataclass(frozen=True)
class JudgeRecipe:
    """Training recipe of the judges.

    Attributes:
        sounds: Number of training sounds.
        faces: Number of training clips of the face judge.
        parts: Number of training clips of the judges of places, gaze and broken eyes and mouths, half of either world.
        held_out: Number of sounds, and twice the number of clips, on which the accuracy is measured.
        word_steps, voice_steps, emotion_steps, face_steps, place_steps, gaze_steps, part_steps: Training steps.
        seed: Seed of weights and order.
    """

    sounds: int = 5000
    faces: int = 900
    parts: int = 200
    held_out: int = 400
    word_steps: int = 2400
    voice_steps: int = 1000
    emotion_steps: int = 800
    face_steps: int = 800
    place_steps: int = 600
    gaze_steps: int = 1600
    part_steps: int = 1000
    seed: int = 0

    def scaled(self, share: float) -> "JudgeRecipe":
        """The same recipe with less material and training; at least eight of each remain."""
        sizes = {name: max(8, round(share * value)) for name, value in asdict(self).items() if name != "seed"}
        return replace(self, **sizes)

    @property
    def key(self) -> str:
        """Hash of the recipe, the vocabulary, the voices and the judges' code; a new key retrains them."""
        code = [(Path(__file__).parent / name).read_text(encoding="utf-8") for name in _SOURCES]
        text = json.dumps([asdict(self), VOCABULARY, VOICES, [emotion.name for emotion in Emotion], code])
        return sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Judges:
    """Trained judges.

    Attributes:
        words: Word recognizer.
        voice: Voice classifier.
        sound: Emotion classifier of the voice.
        face: Emotion classifier of the face.
        place: Finder of the mouth.
        gaze: Reader of gaze and lids.
        eyes: Judge of broken eyes.
        mouth: Judge of broken mouths.
        accuracy: Accuracy of each judge on held-out ground truth; for words, 1 minus the word error rate; for places,
            the share within a pixel and a half; for gaze, within a quarter of the pupil's way; for eyes and mouths, the
            mean over whole and broken ones.
    """

    words: WordRecognizer
    voice: SoundJudge
    sound: SoundJudge
    face: FaceJudge
    place: PlaceFinder
    gaze: GazeJudge
    eyes: PartJudge
    mouth: PartJudge
    accuracy: dict[str, float]

    @property
    def models(self) -> tuple[nn.Module, ...]:
        """The judges in the order of ``NAMES``."""
        return (self.words, self.voice, self.sound, self.face, self.place, self.gaze, self.eyes, self.mouth)


def judges_of(folder: Path, recipe: JudgeRecipe | None = None, tell: Callable[[str], None] = lambda _: None) -> Judges:
    """Load the judges that come with the repository or lie in a folder, or train them and save them there.

    Args:
        folder: Folder of cached judges.
        recipe: Training recipe; None for the default, whose judges come with the repository.
        tell: Called with a line of progress before each long step.

    Returns:
        The judges.
    """
    recipe = recipe or JudgeRecipe()
    if key_of(SHIPPED) == recipe.key:
        return read_judges(SHIPPED)
    path = folder / f"judges-{recipe.key}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_judges(_train(recipe, tell), recipe.key, path)
    return read_judges(path)


def write_judges(judges: Judges, key: str, path: Path) -> None:
    """Write judges, the key of their recipe and their accuracy to a file."""
    weights = {
        f"{name}.{place}": value
        for name, model in zip(NAMES, judges.models, strict=True)
        for place, value in model.state_dict().items()
    }
    with atomic_write(path) as partial:
        save_file(weights, partial, {"key": key, "accuracy": json.dumps(judges.accuracy)})


def read_judges(path: Path) -> Judges:
    """Read judges that ``write_judges`` has written."""
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        accuracy = json.loads(file.metadata()["accuracy"])
    models = (
        WordRecognizer(), SoundJudge(len(VOICES)), SoundJudge(len(Emotion)), FaceJudge(len(Emotion)), PlaceFinder(),
        GazeJudge(), PartJudge(), PartJudge(),
    )  # fmt: skip
    for model, name in zip(models, NAMES, strict=True):
        prefix = f"{name}."
        own = {place.removeprefix(prefix): value for place, value in weights.items() if place.startswith(prefix)}
        model.load_state_dict(own)
        model.eval().requires_grad_(False)
    return Judges(*models, accuracy)


def key_of(path: Path) -> str:
    """Key of the recipe of the judges in a file."""
    with safe_open(path, "pt") as file:
        return file.metadata()["key"]


def _train(recipe: JudgeRecipe, tell: Callable[[str], None]) -> Judges:
    """Train all judges and measure their accuracy."""
    tell("Training the judges (a few minutes, once): drawing speech")
    learnt = draw_sounds(JUDGE_SEED, recipe.sounds)
    tell("Training the judges: words")
    words = train_recognizer(learnt.mels, learnt.transcripts, recipe.word_steps, recipe.seed, spans=learnt.spans)
    tell("Training the judges: voices and emotions")
    voice = train_sound_judge(learnt.mels, learnt.voices, len(VOICES), recipe.voice_steps, recipe.seed)
    sound = train_sound_judge(learnt.mels, learnt.emotions, len(Emotion), recipe.emotion_steps, recipe.seed)
    tell("Training the judges: faces")
    face = train_face_judge(*draw_faces(JUDGE_SEED, recipe.faces), recipe.face_steps, recipe.seed)
    tell("Training the judges: broken eyes and mouths")
    parts, part_accuracy = _train_parts(recipe)
    truth = draw_sounds(HELD_OUT_SEED, recipe.held_out, "held_out")
    pictures, emotions = draw_faces(HELD_OUT_SEED, recipe.held_out // 2, "held_out")
    accuracy = (
        1 - word_error_rate(truth.transcripts, recognise(words, truth.mels)),
        _right(heard_classes(voice, truth.mels), truth.voices),
        _right(heard_classes(sound, truth.mels), truth.emotions),
        _right(seen_emotions(face, pictures), emotions),
        *part_accuracy,
    )
    return Judges(words, voice, sound, face, *parts, dict(zip(NAMES, accuracy, strict=True)))


def _train_parts(recipe: JudgeRecipe) -> tuple[tuple[PlaceFinder, GazeJudge, PartJudge, PartJudge], list[float]]:
    """Train the judges of places, gaze, eyes and mouths, and measure their accuracy."""
    learnt = _part_clips(JUDGE_SEED, recipe.parts, "train")
    truth = _part_clips(HELD_OUT_SEED, recipe.held_out // 8, "held_out")
    finder = train_place_finder(learnt, recipe.place_steps, recipe.seed)
    off = [np.linalg.norm(mouth_places(finder, clip.frames) - clip.mouth_center, axis=1) for clip in truth]
    reader = train_gaze_judge(learnt, recipe.gaze_steps, recipe.seed)
    crops, values = eye_crops(truth, recipe.seed)
    awake = values[:, 2] == 0
    near = (reader(crops[awake]) - values[awake])[:, :2].abs().amax(1) < _NEAR_GAZE
    judges: list[PartJudge] = []
    accuracy = [float((np.concatenate(off) < _NEAR_PIXELS).mean()), float(near.float().mean())]
    for part in PARTS:
        judge = train_part_judge(*draw_parts(learnt, part, recipe.seed), recipe.part_steps, recipe.seed)
        crops, broken = draw_parts(truth, part, recipe.seed + 1)
        found = are_broken(judge, crops)
        accuracy.append(0.5 * (_right(found[broken], broken[broken]) + _right(found[~broken], broken[~broken])))
        judges.append(judge)
    eyes, mouth = judges
    return (finder, reader, eyes, mouth), accuracy


def _part_clips(first_seed: int, count: int, split: str) -> list[ToonClip]:
    """At least two short clips, of the steady and the lively world in turn."""
    seeds = range(first_seed, first_seed + max(2, count))
    return [make_clip(seed, _PART_FRAMES, split=split, world=world_in_turn(seed)) for seed in seeds]


def _right(found: Tensor, wanted: Tensor) -> float:
    """Accuracy of predicted classes."""
    return float((found == wanted).float().mean())


if __name__ == "__main__":
    write_judges(_train(JudgeRecipe(), print), JudgeRecipe().key, SHIPPED)
