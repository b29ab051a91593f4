"""Tasks of the first stages on toons: the audio branch alone, and both branches together.

Three kinds of batch teach the network what its guided and conditional passes need: both modalities noisy; video kept
(dubbing) or sound kept (audio-driven video); and interactions off, half of it without texts, for the null pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from uniavgen_core.config import Interaction
from uniavgen_core.model.conditions import Conditions
from uniavgen_core.shapes import LATENT_CHANNELS
from uniavgen_core.tasks import AUDIO_DRIVEN, DUBBING, JOINT, Keep
from uniavgen_core.text.speech_tensors import SpokenText, speech_id_tensors
from uniavgen_core.training.flow_matching import CleanClips, LossWeights, without_picture
from uniavgen_core.training.task_sampling import LogitNormal, TaskSample

from .clip_shards import CAPTION_DIM, caption_tensor, longest_text, tensor_of

_AUDIBLE = 0.3
_STEP, _SILENCE_AFTER = 40, 24


@dataclass(frozen=True)
class FirstStageConfig:
    """Tasks and losses of a first stage on toons.

    Attributes:
        sigmas: Noise levels; one per clip, shared by both modalities.
        interaction_off: Share of steps with both interactions off.
        dubbing: Share of steps that keep the video and let it steer the sound.
        audio_driven: Share of steps that keep the sound and let it steer the video.
        text_dropout: Share of clips whose texts are dropped, from ``text_dropout_from`` on.
        text_dropout_from: Progress at which dropping texts begins.
        null_with_off: Share of clips without texts in steps with interactions off.
        face_weight: Extra weight of the video loss where there is face or mouth.
        mask_weight: Weight of the face-mask loss at the start; falls to zero. The paper takes 0.1 over 30,000 steps; in
            a thousand steps that leaves the masks dark but at the mouth.
        audio_alone: Whether the audio branch is trained alone, on joint generation.
    """

    sigmas: LogitNormal = field(default_factory=LogitNormal)
    interaction_off: float = 0.15
    dubbing: float = 0.1
    audio_driven: float = 0.1
    text_dropout: float = 0.1
    text_dropout_from: float = 0.0
    null_with_off: float = 0.5
    face_weight: float = 2.0
    mask_weight: float = 1.0
    audio_alone: bool = False

    def sample_task(self, random: np.random.Generator, progress: float) -> TaskSample:
        """Draw the task of one step by its share; what is left of one is joint generation."""
        dropout = self.text_dropout if progress >= self.text_dropout_from else 0.0
        if self.audio_alone:
            return TaskSample(JOINT, Interaction.OFF, dropout, audio_alone=True)
        point = random.random()
        if point < self.interaction_off:
            return TaskSample(JOINT, Interaction.OFF, self.null_with_off)
        point -= self.interaction_off
        for share, task in ((self.dubbing, DUBBING), (self.audio_driven, AUDIO_DRIVEN)):
            if point < share:
                return TaskSample(task, task.interaction, dropout)
            point -= share
        return TaskSample(JOINT, JOINT.interaction, dropout)

    def loss_weights(self, progress: float) -> LossWeights:
        """Weights of the loss at some progress in [0, 1); the picture has none where the audio branch is alone."""
        return LossWeights(self.face_weight, self.mask_weight * (1 - progress), video=float(not self.audio_alone))


def spoken_parts(rows: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Sounds without most of the silence after their speech, grouped by length.

    Args:
        rows: Sounds of one length, ``mel`` (N, S, 80) among them.

    Returns:
        Rows of each length; speech ends 24 to 64 mel frames before the end, or less where the sound ends sooner.
    """
    mels = rows["mel"]
    level = mels.mean(2, dtype=np.float32)
    is_loud = level > level.min(1, keepdims=True) + _AUDIBLE
    ends = mels.shape[1] - is_loud[:, ::-1].argmax(1)
    lengths = np.minimum(mels.shape[1], -(-ends // _STEP) * _STEP + _SILENCE_AFTER)
    groups = []
    for length in np.unique(lengths):
        chosen = lengths == length
        groups.append({name: values[chosen] for name, values in rows.items()} | {"mel": mels[chosen, :length]})
    return groups


class WholeClips:
    """Whole clips of toons, or their sounds, drawn from the arrays of their shards; a ``TrainingClips``.

    Args:
        lengths: Arrays of clips by name, one mapping for each length; all clips of a step have one length.
    """

    def __init__(self, *lengths: Mapping[str, np.ndarray]) -> None:
        self.lengths = lengths
        counts = np.array([len(rows["mel"]) for rows in lengths])
        self.shares = counts / counts.sum()
        self.longest = max(longest_text(rows["transcript"]) for rows in lengths)

    def draw_clips(
        self, sample: TaskSample, shared: np.random.Generator, own: Sequence[np.random.Generator]
    ) -> CleanClips:
        """Draw a clip of a task for each generator in ``own``, a share of them without texts."""
        rows, count = self.lengths[shared.choice(len(self.lengths), p=self.shares)], len(own)
        chosen = np.array([random.integers(len(rows["mel"])) for random in own])
        textless = np.array([random.random() < sample.text_dropout for random in own])
        audio = tensor_of(rows["mel"], chosen)
        texts = np.where(textless, None, rows["transcript"][chosen].astype(object))
        ids, lengths = speech_id_tensors([SpokenText(text) for text in texts], self.longest)
        if "video" in rows:
            video, face, mouth = (tensor_of(rows[name], chosen) for name in ("video", "face", "mouth"))
            caption = caption_tensor(list(np.where(textless, None, rows["caption"][chosen].astype(object))))
        else:
            video, caption = torch.zeros(count, LATENT_CHANNELS, 1, 2, 2), torch.zeros(count, 1, CAPTION_DIM)
            face = mouth = torch.zeros(count, *video.shape[2:])
        first = torch.arange(video.shape[2]).expand(count, -1) == 0
        clips = CleanClips(
            video=video,
            audio=audio,
            video_keep_mask=first | (sample.task.video is Keep.ALL),
            audio_keep_mask=torch.full(audio.shape[:2], sample.task.audio is Keep.ALL),
            face=face,
            mouth=mouth,
            conditions=Conditions(
                caption=caption,
                speech_ids=ids,
                speech_lengths=lengths,
                reference_image=video[:, :, :1],
                interaction=sample.interaction,
            ),
        )
        return without_picture(clips) if sample.audio_alone else clips
