"""The pack's templates as short Python: what each graph holds, in API format; widgets not named keep their defaults.

``tools.make_templates`` turns them into the files in ``workflows``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, RELIP, Task

from .workflow import Workflow

BUNDLED = "bundled_toon"
MATCH_INPUT = "match_input"
Link = list[Any]


@dataclass(frozen=True)
class Files:
    """Files that the loaders of a template load."""

    model: str = BUNDLED
    text_encoder: str = BUNDLED
    video_vae: str = BUNDLED
    vocoder: str = "griffin_lim"


TOON = Files()


class Studio:
    """A graph under construction: shared loaders and texts, a task, and the nodes after it."""

    preset = "auto"

    def __init__(self, caption: str, transcript: str | None, files: Files = TOON) -> None:
        self.nodes: Workflow = {}
        self.model = self.add("UniAVGenLoadModel", "Load the model", model_name=files.model)()
        clip = self.add("UniAVGenLoadTextEncoder", "Load the text encoder", text_encoder=files.text_encoder)()
        self.video_vae = self.add("UniAVGenLoadVideoVAE", "Load the video VAE", video_vae=files.video_vae)()
        self.audio_vae = self.add("UniAVGenLoadAudioVAE", "Load the audio VAE", vocoder=files.vocoder)()
        self.positive = self.add("CLIPTextEncode", "Caption", text=caption, clip=clip)()
        if transcript is not None:
            said = self.add("UniAVGenSpeechText", "Speech", conditioning=self.positive, transcript=transcript)
            self.positive = said()
        self.negative = self.add("CLIPTextEncode", "Negative caption", text="", clip=clip)()

    def add(self, kind: str, title: str, **inputs: Any) -> Callable[[int], Link]:
        """Add a node of a class and title; returns a function from the number of an output to a link to it.

        ``inputs`` are values or links of other nodes; a name of a task's own input is written with two underscores.
        """
        number = str(len(self.nodes) + 1)
        named = {name.replace("__", "."): value for name, value in inputs.items()}
        self.nodes[number] = {"class_type": kind, "inputs": named, "_meta": {"title": title}}
        return lambda output=0: [number, output]

    def task(self, task: Task, **inputs: Any) -> Callable[[int], Link]:
        """Add the task node, at the size its picture decides; its outputs are positive, negative, latent, given."""
        chosen = {f"task__{key}": value for key, value in inputs.items()}
        return self.add(
            "UniAVGenTask", "Task", positive=self.positive, negative=self.negative, video_vae=self.video_vae,
            size=MATCH_INPUT, task=task.name, **chosen,
        )  # fmt: skip

    def finish(self, positive: Link, negative: Link, latent: Link, given: Link | None = None) -> Workflow:
        """Sample, decode and save."""
        sampled = self.add(
            "UniAVGenSampler", "Sample video and audio", model=self.model, positive=positive, negative=negative,
            latent=latent, seed=1, preset=self.preset,
        )  # fmt: skip
        return self.decode(sampled(), given)

    def decode(self, latent: Link, given: Link | None = None) -> Workflow:
        """Decode and save."""
        source_media = {} if given is None else {"source_media": given}
        decoded = self.add(
            "UniAVGenDecode", "Decode", latent=latent, video_vae=self.video_vae, audio_vae=self.audio_vae,
            **source_media,
        )  # fmt: skip
        return self.save(decoded, **source_media)

    def save(self, decoded: Callable[[int], Link], **given: Link) -> Workflow:
        """Save pictures and sound, with the user's own of them as they were, as a video."""
        self.add(
            "UniAVGenSaveVideo", "Save", images=decoded(0), audio=decoded(1), **given, fps=decoded(2),
            filename_prefix="video/uniavgen",
        )  # fmt: skip
        return self.nodes

    def long_video(self, **inputs: Any) -> Workflow:
        """Make a long video and save it with ComfyUI's own node, which reads its pictures one by one."""
        made = self.add(
            "UniAVGenLongVideo", "Long video", model=self.model, positive=self.positive, negative=self.negative,
            video_vae=self.video_vae, audio_vae=self.audio_vae, **inputs, size=MATCH_INPUT,
            length="full_segments", seed=1,
        )  # fmt: skip
        self.add("SaveVideo", "Save", video=made(), filename_prefix="video/uniavgen", format="auto", codec="auto")
        return self.nodes

    def after_task(self, task: Callable[[int], Link]) -> Workflow:
        """Sample, decode and save what a task node set up."""
        return self.finish(task(0), task(1), task(2), task(3))


def quick_start() -> Workflow:
    """Joint generation from image, caption and transcript."""
    studio = Studio("A happy toon with red hair nods while talking to the camera.", "hello happy robot")
    image = studio.add("UniAVGenToonPortrait", "Image", portrait="toon_5_happy")()
    return studio.after_task(studio.task(JOINT, image=image))


def best_take() -> Workflow:
    """The best of four takes of one clip."""
    studio = Studio("A happy toon with red hair nods while talking to the camera.", "red bird yes")
    image = studio.add("UniAVGenToonPortrait", "Image", portrait="toon_5_happy")()
    task = studio.task(JOINT, image=image)
    best = studio.add(
        "UniAVGenBestTake", "Best take", model=studio.model, positive=task(0), negative=task(1), latent=task(2),
        video_vae=studio.video_vae, audio_vae=studio.audio_vae, takes=4, seed=1,
    )  # fmt: skip
    return studio.decode(best(0), task(3))


def reference_voice() -> Workflow:
    """The same in another voice."""
    studio = Studio("A calm toon with black hair nods while talking to the camera.", "red bird yes")
    image = studio.add("UniAVGenToonPortrait", "Image", portrait="toon_2_calm")()
    voice = studio.add("UniAVGenToonClip", "Voice", clip="toon_7")
    task = studio.task(REFERENCE_VOICE, image=image, voice=voice(1), voice_transcript="hello nice fish")
    return studio.after_task(task)


def audio_driven() -> Workflow:
    """A picture that is lip-synced to a given sound."""
    studio = Studio("A happy toon with blond hair nods while talking to the camera.", "nine star cloud")
    image = studio.add("UniAVGenToonPortrait", "Image", portrait="toon_8_happy")()
    sound = studio.add("UniAVGenToonClip", "Audio", clip="toon_8")
    task = studio.task(AUDIO_DRIVEN, image=image, audio=sound(1), length="match_audio")
    return studio.after_task(task)


def dubbing() -> Workflow:
    """A sound for a given video."""
    studio = Studio("An angry toon with brown hair nods while talking to the camera.", "nice red robot")
    video = studio.add("UniAVGenToonClip", "Video", clip="toon_3")
    return studio.after_task(studio.task(DUBBING, video=video()))


def continuation() -> Workflow:
    """Graph that continues a given clip."""
    studio = Studio("A calm toon with black hair nods while talking to the camera.", "red moon")
    video = studio.add("UniAVGenToonClip", "Video", clip="toon_7")
    task = studio.task(CONTINUATION, video=video(), result="whole_clip")
    return studio.after_task(task)


def relip() -> Workflow:
    """Graph that gives the face in a video new words and lips."""
    studio = Studio("An angry toon with brown hair nods while talking to the camera.", "yes star five")
    video = studio.add("UniAVGenToonClip", "Video", clip="toon_3")
    return studio.after_task(studio.task(RELIP, video=video(), region="mouth"))


def long_video() -> Workflow:
    """A script of several segments."""
    studio = Studio("A happy toon with red hair holds its head still while talking to the camera.", None)
    image = studio.add("UniAVGenToonPortrait", "Image", portrait="toon_5_happy")()
    return studio.long_video(image=image, script="hello happy robot\nred moon\nbye bye star")


def long_audio_driven() -> Workflow:
    """A picture that is lip-synced to a sound of several segments."""
    studio = Studio("A happy toon with purple hair nods while talking to the camera.", None)
    image = studio.add("UniAVGenToonPortrait", "Image", portrait="toon_8_happy")()
    parts = [studio.add("UniAVGenToonClip", f"Audio {n + 1}", clip=clip)(1) for n, clip in
             enumerate(("toon_8", "toon_5"))]  # fmt: skip
    sound = studio.add("AudioConcat", "Audio", audio1=parts[0], audio2=parts[1], direction="after")()
    return studio.long_video(image=image, audio=sound, script="nine star cloud yes seven moon")


def long_dubbing() -> Workflow:
    """Dubbing of a video of several segments."""
    studio = Studio("A calm toon with black hair nods while talking to the camera.", None)
    clip = studio.add("UniAVGenToonClip", "Clip", clip="toon_7")
    parts = studio.add("GetVideoComponents", "Frames and audio", video=clip())
    images = studio.add("RepeatImageBatch", "Frames, twice", image=parts(0), amount=2)
    sound = studio.add("AudioConcat", "Audio, twice", audio1=parts(1), audio2=parts(1), direction="after")
    video = studio.add("CreateVideo", "Video", images=images(), audio=sound(), fps=16.0)
    return studio.long_video(video=video(), script="hello happy robot red moon star")


def two_speakers() -> Workflow:
    """Two people in one picture, each with a transcript, a time and a mask."""
    caption = (
        "On the left, a happy toon with red hair holds its head still and talks. "
        "On the right, a happy toon with blue hair holds its head still and talks."
    )
    studio = Studio(caption, None)
    portraits = [studio.add("UniAVGenToonPortrait", f"Portrait {i + 1}", portrait=f"toon_{n}_happy")() for i, n in
                 enumerate((5, 2))]  # fmt: skip
    image = studio.add(
        "ImageStitch", "Image", image1=portraits[0], image2=portraits[1], direction="right", match_image_size=True,
        spacing_width=0, spacing_color="white",
    )()  # fmt: skip
    dark = studio.add("SolidMask", "Nothing", value=0.0, width=256, height=128)()
    light = studio.add("SolidMask", "One half", value=1.0, width=128, height=128)()
    left = studio.add("MaskComposite", "Left half", destination=dark, source=light, x=0, y=0, operation="add")()
    right = studio.add("InvertMask", "Right half", mask=left)()
    task = studio.task(JOINT, image=image)
    said = (("red bird", 0.0, 1.0, left), ("yes moon", 1.0, 0.0, right))
    speakers = {
        f"speakers__speaker{number}": studio.add(
            "UniAVGenSpeaker", f"Speaker {number + 1}", transcript=text, start=start, stop=stop, mask=mask
        )()
        for number, (text, start, stop, mask) in enumerate(said)
    }
    chosen = studio.add(
        "UniAVGenSpeakers", "Speakers", positive=task(0), negative=task(1), latent=task(2), mode="replace", **speakers
    )
    return studio.finish(chosen(0), chosen(1), chosen(2))


TEMPLATES: dict[str, Callable[[], Workflow]] = {
    "quick_start": quick_start,
    REFERENCE_VOICE.name: reference_voice,
    AUDIO_DRIVEN.name: audio_driven,
    DUBBING.name: dubbing,
    CONTINUATION.name: continuation,
    RELIP.name: relip,
    "long_video": long_video,
    "long_audio_driven": long_audio_driven,
    "long_dubbing": long_dubbing,
    "two_speakers": two_speakers,
    "best_take": best_take,
}
