"""Notes beside the templates: what a graph makes, what to change first, and what to do with one's own media."""

OWN_PICTURE = "Your own picture: put **Load Image** in place of *Image*. The bundled model knows drawn toons only."
OWN_VIDEO = "Your own video: put **Load Video** in place of *Video*. The bundled model knows drawn toons only."
WORDS = "The bundled model knows 24 words and tells you which of yours it does not."
RELEASED = (
    "**Official weights:** choose their files in the box's *model*, *text encoder*, *video VAE* and *vocoder*. Size, "
    "length, steps and guidance then adapt to the model."
)

NOTES = {
    "quick_start": (
        "From a picture and a line of text",
        "1. Press **Run**: after a few seconds the video appears on the right.\n2. Change the **transcript**, the "
        f"box's first field: the words to speak. {WORDS}\n3. Change the **caption**, the second field: look, emotion "
        f"and movement.\n\n{OWN_PICTURE}\n\n{RELEASED}\n\nDouble-click the box to see its parts.",
    ),
    "reference_voice": (
        "The same, in the voice of a recording",
        "1. Choose another **Voice** to clone. To use your own: **Load Audio**, 1 to 10 seconds.\n2. Write into "
        "**voice transcript**, the third field, what is said in that recording, word for word.\n3. Change the "
        f"**transcript**, the first field. {WORDS}\n\n{OWN_PICTURE}\n\n{RELEASED}",
    ),
    "audio_driven": (
        "Lip-sync a picture to audio",
        "1. Choose another **Audio**. To use your own: **Load Audio**, speech or singing.\n2. Write into "
        "**transcript**, the first field, what is said in it, word for word; without it, the mouth opens less.\n3. "
        "The clip becomes as long as the audio, which is saved without loss.\n\nFor long audio, use the template "
        f"*Long Lip-sync to Audio*.\n\n{OWN_PICTURE}\n\n{RELEASED}",
    ),
    "dubbing": (
        "Dub a video",
        f"1. Change the **transcript**, the first field: the words to speak. {WORDS}\n2. The speech follows the lips "
        f"in the video.\n3. The video stream is copied, not re-encoded.\n\n{OWN_VIDEO}\n\nFor long videos, use the "
        f"template *Dub a Long Video*.\n\n{RELEASED}",
    ),
    "continuation": (
        "Continue a clip",
        f"1. Change the **transcript**, the first field: what is said next. {WORDS}\n2. **keep seconds** is how much "
        "of the clip's end the model sees, **seconds** how much is generated after it; 0 uses the model's default.\n"
        "3. Write into **kept transcript**, the third field, what is said in the kept part; the official weights need "
        f"it.\n\n{OWN_VIDEO}\n\n{RELEASED}",
    ),
    "relip": (
        "New words and lips in a video",
        f"1. Change the **transcript**, the first field: the words to speak, in the video's own voice. {WORDS}\n2. "
        "**region**: *mouth* changes mouth and jaw, *face* the whole face. Pixels outside it stay unchanged.\n3. "
        "Write into **voice transcript** what is said in the video now.\n\nTo use your own audio, open the box and "
        f"connect it to the task's *audio*.\n\n{OWN_VIDEO}\n\n{RELEASED}",
    ),
    "long_video": (
        "A long video from a script",
        f"1. Write the **script**, the first field: one line for each segment; long lines are split. {WORDS}\n2. "
        "Every segment starts from the end of the one before, in the same voice.\n3. If you stop a run, press Run "
        f"again to resume.\n\n{OWN_PICTURE}\n\n{RELEASED}",
    ),
    "long_audio_driven": (
        "Lip-sync a picture to long audio",
        "1. Put **Load Audio** in place of the example: up to an hour of speech or singing.\n2. Write what is said in "
        "it into **script**, the first field; leave it blank if you do not know.\n3. Segments are cut at pauses. The "
        f"audio is saved without loss.\n\n{OWN_PICTURE}\n\n{RELEASED}",
    ),
    "long_dubbing": (
        "Dub a long video",
        "1. Put **Load Video** in place of the example: up to an hour.\n2. Write the **script**, the first field: the "
        f"words to speak. {WORDS}\n3. Words are placed where someone speaks in the video's own audio, or evenly if it "
        f"is silent.\n\nThe video stream is copied, not re-encoded.\n\n{RELEASED}",
    ),
    "two_speakers": (
        "Two speakers in one picture",
        f"1. Change **transcript 1** and **transcript 2**, the first two fields. {WORDS}\n2. **stop 1** is when the "
        "first speaker stops, **start 2** when the second begins, in seconds.\n3. The mask shows where the first "
        "speaker is; the second is in the rest of the picture. For your own picture, use **Load Image** and draw the "
        f"mask in its mask editor, or find faces with **UniAVGen Find Faces**.\n\n{RELEASED}",
    ),
    "best_take": (
        "The best of several takes",
        "1. Samples **takes** seeds and rates lip-sync, audio and picture.\n2. The best take is saved; the table "
        f"shows all.\n3. Change the **transcript**, the first field. {WORDS}\n\n{OWN_PICTURE}\n\n{RELEASED}",
    ),
    "retake": (
        "Repair a clip",
        "1. The clip is rated second by second. Spans that score below **threshold** are resampled, and a new take is "
        "kept only where it scores higher; the plot shows both.\n2. Here the **Audio** is another clip's and the lips "
        "do not match it, so *regenerate* is set to *video*. Set it to *audio* to generate matching speech instead."
        f"\n3. Write into **transcript**, the first field, what is said. {WORDS}\n\n{OWN_VIDEO}\n\n{RELEASED}",
    ),
    "build_your_own": (
        "Build your own",
        "All parts of the quick start, for custom sampling: **UniAVGen Guider** and **UniAVGen Sigmas** with ComfyUI's "
        "*SamplerCustomAdvanced*. Put LoRA loaders, **UniAVGen Step Cache** or other patches between *Load the model* "
        "and *Guidance*.\n\nSteps and guidance follow the model while **preset** is *auto* in *Guidance* and "
        "*Steps*. With the official weights, also set 5.0625 seconds and a short side of 736.",
    ),
}
"""Title and text of each template's note."""
