"""Tasks of the bundled model's last stages: the paper's five and pictures with two faces, and how often each is drawn.

The paper's ratio (joint 4, with a voice 1, continuation 1, dubbing 2, audio-driven 2) is for 10,000 steps. Here joint
generation, dubbing and audio-driven video come from the joint stage, so what is new gets more of a thousand steps.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from uniavgen_core.config import Interaction
from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, RELIP, Keep, Task
from uniavgen_core.training.flow_matching import LossWeights
from uniavgen_core.training.task_sampling import LogitNormal, Sigmas, TaskSample, draw_task

PAIR = Task("pair", "Two faces")
TOON_TASKS = (JOINT, REFERENCE_VOICE, CONTINUATION, DUBBING, AUDIO_DRIVEN, PAIR, RELIP)
"""In the order in which shares are drawn from."""


@dataclass(frozen=True)
class ToonSample(TaskSample):
    """The task drawn for one step on toons.

    Attributes:
        tracks: Audio tracks of a clip.
        keeps_start: Whether of some clips only the start of kept sound is kept, so that the rest is learned.
    """

    tracks: int = 1
    keeps_start: bool = False

    @property
    def learned(self) -> tuple[str, ...]:
        """Modalities of which something is generated."""
        return tuple(dict.fromkeys((*super().learned, *(("audio",) if self.keeps_start else ()))))


@dataclass(frozen=True)
class ToonTaskConfig:
    """Tasks, references and losses of a stage on toons. Shares are of steps, or of clips where it says so.

    Attributes:
        pair_factor: How many times fewer clips a step with two faces has: half as many, for pictures twice as wide.
        sigmas: Noise levels, as in joint training.
        joint: Joint generation, enough that nothing is forgotten.
        reference_voice: Joint generation with a reference voice: new, and the hardest to learn.
        continuation: Both modalities kept at the start: new.
        dubbing: All video kept; known from joint training.
        audio_driven: All sound kept, or the start of it; known from joint training.
        pair: Two faces with a user's masks: new.
        relip: All of the picture kept but the mouth or the face.
        interaction_off: Of all of these, how many run without interaction, for the null pass.
        null_with_off: Share of clips without texts in those.
        text_dropout: Share of clips without texts in the others.
        voice_in_continuation: How often a continuation has a reference voice: long videos are chained that way.
        voice_in_dubbing: How often dubbing has one.
        any_emotion_in_dubbing: Whether dubbing's reference voices are the speaker's in any emotion, so that the face
            alone tells which one is wanted.
        voice_in_pair: How often two faces have them.
        voice_in_relip: How often new lips with generated sound have one: a user's video has a voice.
        voice_blind: Share of steps with a reference voice that train the audio branch alone: there the sound does not
            see the picture, so it learns the same for half the work.
        joint_blind: Share of steps of joint generation that do: words take more training than pictures, and a step
            with sound alone takes a sixth of the time.
        voice_lengths: How often a reference voice has each length; a chain's is as long as a clip.
        voice_without_text: Share of reference voices without their transcript.
        two_tracks: How often two faces have two tracks.
        driven_pair: How often two faces are driven by kept sound.
        driven_relip: How often new lips are.
        whole_face: Share of clips with new lips of which the whole face is generated, not the mouth alone.
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
        eye_weight: Extra weight where there are eyes, as few latent pixels, which viewers look at first.
        mask_weight: Weight of the face-mask loss at the start; half of joint training's, for masks that are known.
        mask_weight_end: Weight of the face-mask loss at the end; between, it falls linearly.
    """

    pair_factor: int = 2
    sigmas: Sigmas = field(default_factory=LogitNormal)
    joint: float = 0.12
    reference_voice: float = 0.2
    continuation: float = 0.23
    dubbing: float = 0.05
    audio_driven: float = 0.06
    pair: float = 0.34
    relip: float = 0.0
    interaction_off: float = 0.12
    null_with_off: float = 0.5
    text_dropout: float = 0.1
    voice_in_continuation: float = 0.5
    voice_in_dubbing: float = 0.2
    any_emotion_in_dubbing: bool = False
    voice_in_pair: float = 0.2
    voice_in_relip: float = 0.6
    voice_blind: float = 0.75
    joint_blind: float = 0.0
    voice_lengths: tuple[float, ...] = (0.2, 0.3, 0.5)
    voice_without_text: float = 0.2
    two_tracks: float = 0.4
    driven_pair: float = 0.25
    driven_relip: float = 0.5
    whole_face: float = 0.4
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
    eye_weight: float = 4.0
    mask_weight: float = 0.5
    mask_weight_end: float = 0.0

    def loss_weights(self, progress: float) -> LossWeights:
        """Weights of the loss at some progress in [0, 1)."""
        mask = self.mask_weight + (self.mask_weight_end - self.mask_weight) * progress
        return LossWeights(self.face_weight, mask, self.mouth_weight, self.eye_weight, self.video_weight)

    def sample_task(self, random: np.random.Generator, progress: float = 0.0) -> ToonSample:
        """Draw the task of one step by its share; always takes the same number of draws."""
        del progress
        task = draw_task(TOON_TASKS, [getattr(self, task.name) for task in TOON_TASKS], random)
        voice, driven, two, off, blind = random.random(5)
        length = int(random.choice(len(self.voice_lengths), p=self.voice_lengths))
        is_pair = task is PAIR
        if driven < {PAIR: self.driven_pair, RELIP: self.driven_relip}.get(task, 0.0):
            task = replace(task, audio=Keep.ALL, interaction=Interaction.AUDIO_TO_VIDEO)
        has_voice = bool(voice < self._voice_share(task))
        if is_pair and has_voice:
            task = replace(PAIR, interaction=Interaction.AUDIO_TO_VIDEO)
        is_off = off < self.interaction_off
        return ToonSample(
            task=task,
            interaction=Interaction.OFF if is_off else task.interaction,
            text_dropout=self.null_with_off if is_off else self.text_dropout,
            has_voice=has_voice,
            voice_length=length,
            audio_alone=bool(blind < {REFERENCE_VOICE: self.voice_blind, JOINT: self.joint_blind}.get(task, 0.0)),
            batch_divisor=self.pair_factor if is_pair else 1,
            tracks=2 if is_pair and two < self.two_tracks else 1,
            keeps_start=task.audio is Keep.ALL and self.lead > 0,
        )

    def _voice_share(self, task: Task) -> float:
        """Share of a task's steps that have reference voices; none where the sound is kept."""
        if task.audio is Keep.ALL:
            return 0.0
        shares = {
            CONTINUATION.name: self.voice_in_continuation,
            DUBBING.name: self.voice_in_dubbing,
            PAIR.name: self.voice_in_pair,
            RELIP.name: self.voice_in_relip,
        }
        return 1.0 if task.reference_voice else shares.get(task.name, 0.0)
