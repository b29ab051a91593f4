"""The tasks the bundled model is trained for after joint training, and how often each is drawn.

The paper's ratio (joint 4, with a voice 1, continuation 1, dubbing 2, audio-driven 2) is for 10,000 steps. Here joint
generation, dubbing and audio-driven video come from the joint stage, so what is new gets more of a thousand steps.
Source: UniAVGen (arXiv:2511.03334), third stage of training, and its release for what each task keeps.
"""

from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from ..config import Interaction
from .sigmas import LogitNormal, Sigmas


class TaskKind(Enum):
    """What a batch is for."""

    JOINT = "joint"
    VOICE = "voice"
    CONTINUATION = "continuation"
    DUBBING = "dubbing"
    AUDIO_DRIVEN = "audio_driven"
    PAIR = "pair"


@dataclass(frozen=True)
class TaskConfig:
    """What the steps of the last stage ask of the network. Shares are of steps, or of clips where it says so.

    Attributes:
        pair_factor: How many times fewer clips a step with two faces has: half as many, for pictures twice as wide.
        sigmas: Noise levels, as in joint training.
        joint: Joint generation, enough that nothing is forgotten.
        voice: Joint generation with a reference voice: new, and the hardest to learn.
        continuation: Both modalities kept at the start: new.
        dubbing: All video kept; known from joint training.
        audio_driven: All sound kept, or the start of it; known from joint training.
        pair: Two faces with a user's masks: new.
        interaction_off: Of all of these, how many run without interaction, for the null pass.
        off_in_all: Whether those are of all tasks, or of joint generation alone.
        null_with_off: Share of clips without texts in those.
        text_dropout: Share of clips without texts in the others.
        voice_in_continuation: How often a continuation has a reference voice: long videos are chained that way.
        voice_in_dubbing: How often dubbing has one.
        any_emotion_in_dubbing: Whether dubbing's reference voices are the speaker's in any emotion, so that the face
            alone tells which one is asked for.
        voice_in_pair: How often two faces have them.
        voice_blind: Share of steps with a reference voice that train the audio branch alone: there the sound does not
            see the picture, so it learns the same for half the work.
        blind: Whether all steps train the audio branch alone.
        voice_lengths: How often a reference voice has each length; a chain's is as long as a clip.
        voice_without_text: Share of reference voices whose transcript is not told.
        two_tracks: How often two faces have two tracks.
        driven_pair: How often two faces are driven by kept sound.
        one_sided_caption: Share of lone speakers among two faces whose caption tells of them alone.
        still_mask: Share of masks that stand still, as a user's drawing does.
        half_mask: Share of masks that cover half the picture.
        silence_before: Share of clips whose silence before the sentence is kept.
        silence_after: Share of clips whose silence after the sentence is kept.
        digital_silence: Share of kept silences that are digital, without the voices' noise floor.
        lead: Share of audio-driven clips of whose sound only the start is kept.
        lead_frames: Least and most mel frames of such a start.
        latest_cut: Most mel frames between a sentence and kept silence after it.
        face_weight: Extra weight of the video loss where there is face or mouth, as in joint training.
        video_weight: Weight of the video loss as a whole.
        mouth_weight: Extra weight where there is mouth, a few latent pixels of which all depends on who speaks.
        mask_weight: Weight of the face-mask loss at the start; half of joint training's, for masks that are known.
        mask_weight_end: Weight of the face-mask loss at the end; between, it falls linearly.
    """

    pair_factor: int = 2
    sigmas: Sigmas = field(default_factory=LogitNormal)
    joint: float = 0.12
    voice: float = 0.2
    continuation: float = 0.23
    dubbing: float = 0.05
    audio_driven: float = 0.06
    pair: float = 0.34
    interaction_off: float = 0.12
    off_in_all: bool = True
    null_with_off: float = 0.5
    text_dropout: float = 0.1
    voice_in_continuation: float = 0.5
    voice_in_dubbing: float = 0.2
    any_emotion_in_dubbing: bool = False
    voice_in_pair: float = 0.2
    voice_blind: float = 0.75
    blind: bool = False
    voice_lengths: tuple[float, ...] = (0.2, 0.3, 0.5)
    voice_without_text: float = 0.2
    two_tracks: float = 0.4
    driven_pair: float = 0.25
    one_sided_caption: float = 0.3
    still_mask: float = 0.25
    half_mask: float = 0.15
    silence_before: float = 0.7
    silence_after: float = 0.2
    digital_silence: float = 0.6
    lead: float = 0.3
    lead_frames: tuple[float, float] = (40.0, 190.0)
    latest_cut: float = 40.0
    face_weight: float = 2.0
    video_weight: float = 1.0
    mouth_weight: float = 4.0
    mask_weight: float = 0.5
    mask_weight_end: float = 0.0

    def mask_weight_at(self, progress: float) -> float:
        """Weight of the face-mask loss at a share of the run."""
        return self.mask_weight + (self.mask_weight_end - self.mask_weight) * progress


@dataclass(frozen=True)
class Ask:
    """What one step asks for.

    Attributes:
        kind: The task.
        interaction: Directions that update their target.
        voice: Whether reference voices are given.
        voice_length: Index of their length.
        tracks: Audio tracks of a clip.
        audio_kept: Whether the sound is given, all of it or its start.
        blind: Whether the audio branch is trained alone.
        text_dropout: Share of clips without texts.
    """

    kind: TaskKind
    interaction: Interaction
    voice: bool = False
    voice_length: int = 0
    tracks: int = 1
    audio_kept: bool = False
    blind: bool = False
    text_dropout: float = 0.0


def draw_ask(config: TaskConfig, random: np.random.Generator) -> Ask:
    """Draw what one step asks for by the config's shares; always takes the same number of draws."""
    shares = np.array([getattr(config, kind.value) for kind in TaskKind])
    kind = list(TaskKind)[random.choice(len(shares), p=shares / shares.sum())]
    point = random.random(5)
    length = int(random.choice(len(config.voice_lengths), p=config.voice_lengths))
    chance = {
        TaskKind.VOICE: 1.0,
        TaskKind.CONTINUATION: config.voice_in_continuation,
        TaskKind.DUBBING: config.voice_in_dubbing,
        TaskKind.PAIR: config.voice_in_pair,
    }.get(kind, 0.0)
    voice, pair = bool(point[0] < chance), kind is TaskKind.PAIR
    driven = kind is TaskKind.AUDIO_DRIVEN or (pair and bool(point[1] < config.driven_pair))
    voice = voice and not driven
    ask = Ask(
        kind=kind,
        interaction=_interaction_of(kind, voice, driven),
        voice=voice,
        voice_length=length,
        tracks=2 if pair and point[2] < config.two_tracks else 1,
        audio_kept=driven,
        blind=config.blind or (kind is TaskKind.VOICE and bool(point[4] < config.voice_blind)),
        text_dropout=config.text_dropout,
    )
    if point[3] < config.interaction_off and (config.off_in_all or kind is TaskKind.JOINT):
        return replace(ask, interaction=Interaction.OFF, text_dropout=config.null_with_off)
    return ask


def _interaction_of(kind: TaskKind, voice: bool, driven: bool) -> Interaction:
    """Directions that run: sound that is given, or whose voice is, is not steered by the picture, as in the release."""
    if kind is TaskKind.DUBBING:
        return Interaction.VIDEO_TO_AUDIO
    if kind is TaskKind.CONTINUATION:
        return Interaction.BOTH
    return Interaction.AUDIO_TO_VIDEO if voice or driven else Interaction.BOTH
