"""The pack's templates as short Python: what each graph holds; widgets that are not named keep their defaults.

``tools.make_templates`` turns them into the files in ``workflows``, named by ``tools.template_titles``, and their boxes
into those in ``subgraphs``.
"""

from collections.abc import Callable

from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, RELIP

from .graph_studio import Box, Graph, Link, Studio
from .template_notes import NOTES
from .template_titles import TITLES

TALKING = ("talking head", "avatar", "portrait animation", "text to speech", "数字人", "说话人")
LIP_SYNC = ("lip sync", "lipsync", "audio driven", "talking head", "avatar", "对口型")
DUB = ("dub", "dubbing", "video to speech", "TTS", "配音")
PICTURE = Box(TITLES["quick_start"], "A talking video with speech, from a picture and a line of text.", TALKING)
VOICE = Box(
    TITLES["reference_voice"],
    "A talking video from a picture and a line of text, in the voice of a recording.",
    ("voice clone", *TALKING, "声音克隆"),
)
LIPS = Box(
    TITLES["audio_driven"],
    "A video of the person in a picture, lip-synced to speech or song.",
    LIP_SYNC,
)
DUBBED = Box(TITLES["dubbing"], "Speech for a silent video, or new speech for any video.", DUB)
CONTINUED = Box(
    TITLES["continuation"],
    "More video and speech after the end of a clip.",
    ("extend video", "continuation", "video extend"),
)
RELIPPED = Box(
    TITLES["relip"],
    "New speech and new lips for the person in a video; all other pixels stay.",
    ("relip", "lip sync", "dub", "video translation", "对口型"),
)
SCRIPT = Box(
    TITLES["long_video"],
    "A video of any length: one person speaks a whole script.",
    ("long video", *TALKING),
)
LONG_LIPS = Box(
    TITLES["long_audio_driven"],
    "A video of any length, lip-synced to speech or song.",
    ("long video", *LIP_SYNC),
)
LONG_DUB = Box(TITLES["long_dubbing"], "Speech for a video of any length, in one voice.", ("long video", *DUB))
TAKES = Box(
    TITLES["best_take"],
    "Samples several seeds, rates them, and keeps the best take.",
    ("best of n", *TALKING),
)
REPAIRED = Box(
    TITLES["retake"],
    "Rates a finished clip second by second, and resamples the spans whose lips do not match the audio.",
    ("fix lip sync", "retake", "regenerate part", "修复口型"),
)
TWO = Box(
    TITLES["two_speakers"],
    "Two people in one picture, each with a transcript, a time and a mask.",
    ("dialogue", "podcast", *TALKING),
)
LONGER = Box("Example: longer media", "Bundled clips, joined to longer example media.", is_example=True)
SIDE_BY_SIDE = Box("Example: two toons", "Two portraits side by side, and a mask of the left one.", is_example=True)


def quick_start() -> Graph:
    """Joint generation from image, caption and transcript."""
    studio = Studio(PICTURE, "A happy toon with red hair nods while talking to the camera.", "hello happy robot")
    image = studio.source("UniAVGenToonPortrait", "Image", portrait="toon_5_happy")()
    return studio.after_task(studio.task(JOINT, image=image, seconds=0.0))


def best_take() -> Graph:
    """The best of four takes of one clip."""
    studio = Studio(TAKES, "A happy toon with red hair nods while talking to the camera.", "red bird yes")
    image = studio.source("UniAVGenToonPortrait", "Image", portrait="toon_5_happy")()
    task = studio.task(JOINT, image=image, seconds=0.0)
    best = studio.add(
        "UniAVGenBestTake", "Best take", model=studio.model, positive=task(0), negative=task(1), latent=task(2),
        video_vae=studio.video_vae, audio_vae=studio.audio_vae, takes=4, seed=1,
    )  # fmt: skip
    graph = studio.decode(best(0), task(3))
    studio.source("PreviewImage", "Ratings of all takes", images=best(2))
    return graph


def retake() -> Graph:
    """A finished clip whose lips do not match its audio; the weak spans are resampled."""
    studio = Studio(REPAIRED, "A calm toon with black hair nods while talking to the camera.", "hello water star")
    video = studio.source("UniAVGenToonClip", "Video", clip="toon_7")()
    audio = studio.source("UniAVGenToonClip", "Audio", clip="toon_2")(1)
    frames = studio.add("GetVideoComponents", "Frames and audio", video=video)()
    image = studio.add("ImageFromBatch", "First frame", image=frames, batch_index=0, length=1)()
    task = studio.task(AUDIO_DRIVEN, image=image, audio=audio, length="match_audio")
    repaired = studio.add(
        "UniAVGenRetake", "Retake", model=studio.model, positive=task(0), negative=task(1), latent=task(2),
        video_vae=studio.video_vae, audio_vae=studio.audio_vae, video=video, audio=audio, threshold=0.2, takes=2,
        regenerate="video", seed=1, preset="auto",
    )  # fmt: skip
    graph = studio.decode(repaired(0), repaired(1))
    studio.source("PreviewImage", "Score before and after", images=repaired(2))
    return graph


def reference_voice() -> Graph:
    """The same in another voice."""
    studio = Studio(VOICE, "A calm toon with blue hair nods while talking to the camera.", "red bird yes")
    image = studio.source("UniAVGenToonPortrait", "Image", portrait="toon_2_calm")()
    voice = studio.source("UniAVGenToonClip", "Voice", clip="toon_7")
    task = studio.task(REFERENCE_VOICE, image=image, seconds=0.0, voice=voice(1), voice_transcript="hello nice fish")
    return studio.after_task(task)


def audio_driven() -> Graph:
    """A picture that is lip-synced to audio."""
    studio = Studio(LIPS, "A happy toon with purple hair nods while talking to the camera.", "nine star cloud")
    image = studio.source("UniAVGenToonPortrait", "Image", portrait="toon_8_happy")()
    audio = studio.source("UniAVGenToonClip", "Audio", clip="toon_8")
    return studio.after_task(studio.task(AUDIO_DRIVEN, image=image, audio=audio(1), length="match_audio"))


def dubbing() -> Graph:
    """Speech for a video."""
    studio = Studio(DUBBED, "An angry toon with brown hair nods while talking to the camera.", "nice red robot")
    video = studio.source("UniAVGenToonClip", "Video", clip="toon_3")
    return studio.after_task(studio.task(DUBBING, video=video()))


def continuation() -> Graph:
    """Graph that continues a clip."""
    studio = Studio(CONTINUED, "A calm toon with black hair nods while talking to the camera.", "red moon")
    video = studio.source("UniAVGenToonClip", "Video", clip="toon_7")
    task = studio.task(
        CONTINUATION, video=video(), keep_seconds=0.0, seconds=0.0, result="whole_clip", kept_transcript=""
    )
    return studio.after_task(task)


def relip() -> Graph:
    """Graph that gives the face in a video new words and lips."""
    studio = Studio(RELIPPED, "An angry toon with brown hair nods while talking to the camera.", "yes star five")
    video = studio.source("UniAVGenToonClip", "Video", clip="toon_3")
    return studio.after_task(studio.task(RELIP, video=video(), region="mouth", voice_transcript="nice red robot"))


def long_video() -> Graph:
    """A script of several segments."""
    studio = Studio(SCRIPT, "A happy toon with red hair holds its head still while talking to the camera.", None)
    image = studio.source("UniAVGenToonPortrait", "Image", portrait="toon_5_happy")()
    return studio.long_video(image=image, script="hello happy robot\nred moon\nbye bye star")


def long_audio_driven() -> Graph:
    """A picture that is lip-synced to audio of several segments."""
    studio = Studio(LONG_LIPS, "A happy toon with purple hair nods while talking to the camera.", None)
    image = studio.source("UniAVGenToonPortrait", "Image", portrait="toon_8_happy")()
    parts = [studio.inside(LONGER, "UniAVGenToonClip", f"Audio {n + 1}", clip=clip)(1) for n, clip in
             enumerate(("toon_8", "toon_5"))]  # fmt: skip
    audio = studio.inside(LONGER, "AudioConcat", "Audio", audio1=parts[0], audio2=parts[1], direction="after")()
    return studio.long_video(image=image, audio=audio, script="nine star cloud yes seven moon")


def long_dubbing() -> Graph:
    """Dubbing of a video of several segments."""
    studio = Studio(LONG_DUB, "A calm toon with black hair nods while talking to the camera.", None)
    clip = studio.inside(LONGER, "UniAVGenToonClip", "Clip", clip="toon_7")
    parts = studio.inside(LONGER, "GetVideoComponents", "Frames and audio", video=clip())
    images = studio.inside(LONGER, "RepeatImageBatch", "Frames, twice", image=parts(0), amount=2)
    audio = studio.inside(LONGER, "AudioConcat", "Audio, twice", audio1=parts(1), audio2=parts(1), direction="after")
    video = studio.inside(LONGER, "CreateVideo", "Video", images=images(), audio=audio(), fps=16.0)
    return studio.long_video(video=video(), script="hello happy robot red moon star")


def two_speakers() -> Graph:
    """Two people in one picture, each with a transcript, a time and a mask."""
    caption = (
        "On the left, a happy toon with red hair holds its head still and talks. "
        "On the right, a happy toon with blue hair holds its head still and talks."
    )
    studio = Studio(TWO, caption, None)
    image, left = two_toons(studio)
    right = studio.add("InvertMask", "Mask of the right speaker", mask=left)()
    task = studio.task(JOINT, image=image, seconds=0.0)
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


def two_toons(studio: Studio) -> tuple[Link, Link]:
    """Add two portraits side by side; returns the picture and a mask of its left half."""

    def add(kind: str, title: str, **inputs: object) -> Link:
        return studio.inside(SIDE_BY_SIDE, kind, title, **inputs)()

    portraits = [add("UniAVGenToonPortrait", f"Portrait {i + 1}", portrait=f"toon_{n}_happy") for i, n in
                 enumerate((5, 2))]  # fmt: skip
    image = add(
        "ImageStitch", "Image", image1=portraits[0], image2=portraits[1], direction="right", match_image_size=True,
        spacing_width=0, spacing_color="white",
    )  # fmt: skip
    dark = add("SolidMask", "Nothing", value=0.0, width=256, height=128)
    light = add("SolidMask", "One half", value=1.0, width=128, height=128)
    return image, add("MaskComposite", "Left half", destination=dark, source=light, x=0, y=0, operation="add")


def build_your_own() -> Graph:
    """All parts, for custom sampling."""
    studio = Studio(None, "A happy toon with red hair nods while talking to the camera.", "hello happy robot")
    image = studio.add("UniAVGenToonPortrait", "Image", portrait="toon_5_happy")()
    empty = studio.add("UniAVGenEmptyLatent", "Size and length", width=128, height=128, seconds=2.0625)()
    start = studio.add(
        "UniAVGenReferenceImage", "First frame", positive=studio.positive, negative=studio.negative,
        video_vae=studio.video_vae, image=image, latent=empty,
    )  # fmt: skip
    guider = studio.add(
        "UniAVGenGuider", "Guidance", model=studio.model, positive=start(0), negative=start(1)
    )()  # fmt: skip
    sampled = studio.sample_custom(guider, start(2), "UniAVGenSigmas", model=studio.model)
    graph = studio.decode(sampled)
    graph.columns = [
        ["Load the model", "Load the text encoder", "Load the video VAE", "Load the audio VAE"],
        ["Image", "Size and length"],
        ["Caption", "Speech", "Negative caption", "First frame"],
        ["Guidance", "Noise", "Sampler", "Steps"],
        ["Sample video and audio", "Decode", "Save"],
    ]
    return graph


TEMPLATES: dict[str, Callable[[], Graph]] = {
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
    "retake": retake,
    "build_your_own": build_your_own,
}


def template(name: str) -> Graph:
    """A template's graph with its note."""
    graph = TEMPLATES[name]()
    graph.title, graph.note = NOTES[name]
    return graph
