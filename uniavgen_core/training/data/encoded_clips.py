"""Training clips for every task from folders of encoded clips.

Clips of one size and length are a bucket, and a batch is of one bucket: it is drawn by its number of clips from what
all parts of a step share, the clips from each example's own generator. So a batch made in parts is the batch made at
once.
Dimension key: B batch, T latent frames, H and W latent rows and columns, S mel frames, L caption tokens or characters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...config import TextConfig
from ...media.audio.mel import silent_mel
from ...media.audio.reference_voice import SILENCE_FRAMES
from ...model.joint import Conditions
from ...tasks import JOINT
from ...text.speech_tensors import SpokenText, speech_tensors
from ...text.tokenize import join_reference, pad_speech_ids, speech_ids
from ..flow_matching import CleanClips, without_picture
from ..task_sampling import TaskSample
from .clip_form import Faces
from .clip_store import SOUND_ALONE, EncodedClip, check_clip, read_clip, read_index, read_null_caption, read_settings
from .example_draws import Bucket, ClipChoice, SourceConfig, choose_clip, group_clips
from .speaker_voices import Speakers, Voice, cut_voice


class EncodedClips:
    """Encoded clips to train on; a ``TrainingClips``.

    A reference voice is from another clip of the same speaker. So clips whose speaker has no other are not drawn where
    one is needed; if no speaker has two clips, such a step is one without a voice. Clips of sound alone are
    drawn where the audio branch is trained alone, and serve as reference voices.

    Attributes:
        clips: All clips, by folder and name.
        folders: Where each of them lies.
        buckets: The clips by shape.
        speech_length: Characters that every speech text is filled to.
        notices: What a user should know before training, whole sentences.
    """

    def __init__(self, folders: Sequence[Path], text: TextConfig, config: SourceConfig) -> None:
        self.text, self.config = text, config
        found = [(folder, clip) for folder in folders for clip in read_index(folder)]
        if not found:
            raise ValueError(f"No clip is in {', '.join(map(str, folders))}; skipped.jsonl there tells why.")
        self.folders, clips = zip(*found, strict=True)
        self.clips: tuple[EncodedClip, ...] = clips
        self.speakers = Speakers([clip.record.speaker for clip in clips])
        self._has_voice = self.speakers.has_voice
        self.buckets = group_clips(clips)
        self.speech_length = max(len(pad_speech_ids(speech_ids(clip.record.transcript))) for clip in clips)
        self.caption_length = min(text.caption_length, max(1, *(clip.caption_tokens for clip in clips)))
        self.null_caption = _null_caption(folders, text)[: self.caption_length]
        self.silence = silent_mel().numpy()
        self.notices = _notices(self, folders)
        self._read = lru_cache(maxsize=config.cached_clips)(self._read_clip)

    def __len__(self) -> int:
        return len(self.clips)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cache out for worker processes, which keep their own."""
        return {name: value for name, value in vars(self).items() if name != "_read"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._read = lru_cache(maxsize=self.config.cached_clips)(self._read_clip)

    def draw_clips(
        self, sample: TaskSample, shared: np.random.Generator, own: Sequence[np.random.Generator]
    ) -> CleanClips:
        """Draw clips for a task.

        Args:
            sample: The task.
            shared: The same for all parts of a step.
            own: One generator for each example.

        Raises:
            ValueError: If no clip fits the task, or a file cannot be read.
        """
        sample = self._possible(sample)
        bucket = self._draw_bucket(sample, shared)
        choices, voices = zip(*(self._choose(sample, bucket, random) for random in own), strict=True)
        clips = self._collate(choices, self._speech(sample, choices, voices), sample)
        return without_picture(clips) if sample.audio_alone else clips

    def _collate(self, choices: Sequence[ClipChoice], speech: Mapping[str, Any], sample: TaskSample) -> CleanClips:
        """Stack the tensors of some clips of one shape."""
        stored = [self._read(choice.clip) for choice in choices]
        video, audio, face, mouth = (
            torch.stack([clip[name] for clip in stored]) for name in ("video", "mel", "face", "mouth")
        )
        return CleanClips(
            video=video,
            audio=audio,
            video_keep_mask=torch.arange(video.shape[2]) < torch.tensor([[choice.kept_latents] for choice in choices]),
            audio_keep_mask=torch.arange(audio.shape[1]) < torch.tensor([[choice.kept_mel] for choice in choices]),
            face=face,
            mouth=mouth,
            conditions=Conditions(
                caption=torch.stack([self._caption(choice) for choice in choices]),
                **speech,
                reference_image=video[:, :, :1],
                interaction=sample.interaction,
            ),
        )

    def _possible(self, sample: TaskSample) -> TaskSample:
        """The same sample; without a voice, and so of joint generation, where nobody has a second clip."""
        if not sample.has_voice or self._has_voice.any():
            return sample
        if not sample.task.reference_voice:
            return replace(sample, has_voice=False)
        steered = sample.interaction is sample.task.interaction
        interaction = JOINT.interaction if steered else sample.interaction
        return replace(sample, has_voice=False, task=JOINT, interaction=interaction)

    def _usable(self, sample: TaskSample, bucket: Bucket) -> np.ndarray:
        """The bucket's clips that fit the task."""
        if bucket.is_sound_alone and not sample.audio_alone:
            return bucket.clips[:0]
        return bucket.clips[self._has_voice[bucket.clips]] if sample.has_voice else bucket.clips

    def _draw_bucket(self, sample: TaskSample, shared: np.random.Generator) -> Bucket:
        sizes = np.array([len(self._usable(sample, bucket)) for bucket in self.buckets])
        if not sizes.any():
            raise ValueError(
                f"No clip fits {sample.task.name}: with video there are none, or none whose speaker has another clip. "
                "Encode clips with video, or train the audio branch alone on these."
            )
        return self.buckets[shared.choice(len(sizes), p=sizes / sizes.sum())]

    def _choose(self, sample: TaskSample, bucket: Bucket, random: np.random.Generator) -> tuple[ClipChoice, int | None]:
        """Choose one example, and the clip of its reference voice; None for none."""
        choice = choose_clip(sample, self._usable(sample, bucket), bucket, self.config, random)
        return choice, self.speakers.other_clip(choice.clip, random) if sample.has_voice else None

    def _speech(
        self, sample: TaskSample, choices: Sequence[ClipChoice], voice_clips: Sequence[int | None]
    ) -> Mapping[str, Any]:
        """Fields of ``Conditions`` with speech texts and reference voices."""
        texts = [None if choice.textless else self.clips[choice.clip].record.transcript for choice in choices]
        if not sample.has_voice:
            return speech_tensors([SpokenText(text) for text in texts], self.text, 0, self.speech_length)
        frames = self.config.voice_frames[min(sample.voice_length, len(self.config.voice_frames) - 1)]
        voices = [self._voice(clip, frames) for clip in voice_clips if clip is not None]
        silence = torch.from_numpy(self.silence).expand(len(choices), SILENCE_FRAMES, -1)
        words = [SpokenText(text, voice_transcript=voice.transcript) for text, voice in zip(texts, voices, strict=True)]
        longest = 2 * self.speech_length + len(speech_ids(join_reference("a", ""))) - 1
        mel = torch.cat([torch.from_numpy(np.stack([voice.mel for voice in voices])), silence], 1)
        return {**speech_tensors(words, self.text, frames + SILENCE_FRAMES, longest), "reference_audio": mel}

    def _voice(self, clip: int, frames: int) -> Voice:
        return cut_voice(self._read(clip)["mel"].numpy(), self.clips[clip].record.transcript, frames, self.silence)

    def _caption(self, choice: ClipChoice) -> Tensor:
        """Caption features filled with zeros, (L, D)."""
        features = self.null_caption if choice.captionless else self._read(choice.clip)["caption"]
        features = features[: self.caption_length]
        return F.pad(features, (0, 0, 0, self.caption_length - len(features)))

    def _read_clip(self, clip: int) -> dict[str, Tensor]:
        """Tensors of a clip in float32; what it does not have is zero."""
        stored = read_clip(self.folders[clip], self.clips[clip].name)
        check_clip(self.folders[clip], self.clips[clip], stored, self.text.caption_dim)
        channels, *shape = self.clips[clip].latents
        nothing = torch.zeros(shape)
        blank = {"face": nothing, "mouth": nothing, "caption": torch.zeros(1, self.text.caption_dim)}
        if "video" not in stored:
            blank["video"] = nothing.expand(channels, *shape)
        return blank | {name: value.float() for name, value in stored.items()}


def load_source(
    folders: Path | str | Sequence[Path | str], text: TextConfig, config: SourceConfig | None = None
) -> EncodedClips:
    """Load folders of encoded clips.

    Args:
        folders: One, or several that were encoded by the same encoders.
        text: The model's text settings.
        config: Random choices made for each clip.

    Raises:
        ValueError: If a folder holds no encoded clips, the folders do not go together, or the captions are not as wide
            as the model's.
    """
    paths = [Path(folders)] if isinstance(folders, str | Path) else [Path(folder) for folder in folders]
    if not paths:
        raise ValueError("No folder of encoded clips is named; name at least one.")
    encoders = {read_settings(path)["encoders"] for path in paths} - {SOUND_ALONE}
    if len(encoders) > 1:
        raise ValueError(
            f"The folders were encoded by {' and '.join(sorted(encoders))}, whose latents differ. Encode all by one."
        )
    source = EncodedClips(paths, text, config or SourceConfig())
    width = source.null_caption.shape[1]
    if width != text.caption_dim:
        raise ValueError(
            f"The captions are {width} numbers wide and the model's {text.caption_dim}: encoded by {encoders.pop()}. "
            "Encode with the encoders that belong to the model."
        )
    return source


def _null_caption(folders: Sequence[Path], text: TextConfig) -> Tensor:
    """Features of the empty caption, (L, D); zeros where there are only clips of sound."""
    for folder in folders:
        if read_settings(folder)["encoders"] != SOUND_ALONE:
            return read_null_caption(folder)
    return torch.zeros(1, text.caption_dim)


def _notices(source: EncodedClips, folders: Sequence[Path]) -> tuple[str, ...]:
    """Notices for the user: voices and masks that are missing, clips that were cut."""
    lone, cut = int((~source.speakers.has_voice).sum()), sum(clip.cut for clip in source.clips)
    notices = []
    if lone == len(source):
        notices.append("No speaker has two clips: steps with a reference voice are made without one.")
    elif lone:
        notices.append(f"{lone} of {len(source)} clips are their speaker's only one; they never get a reference voice.")
    if cut:
        notices.append(f"{cut} of {len(source)} clips were cut; their transcripts say more than is heard.")
    maskless = [str(folder) for folder in folders if read_settings(folder).get("faces") == Faces.NONE.value]
    if maskless:
        notices.append(
            f"There are no face masks in {', '.join(maskless)}: the face-mask loss would teach that nobody is."
        )
    return tuple(notices)
