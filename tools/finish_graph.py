"""The template that finishes a clip with ComfyUI's own upscaler and frame interpolation: graph, files and a note."""

from .graph_studio import Box, Canvas, Graph, Link
from .template_titles import TITLES

INTERPOLATION, UPSCALER = "film_net_fp16.safetensors", "RealESRGAN_x4plus.safetensors"
HUB = "https://huggingface.co/Comfy-Org"
FINISH = Box(
    TITLES["finish"],
    "A finished clip at twice the frame rate and twice the size, its audio unchanged.",
    ("upscale video", "frame interpolation", "32 fps", "smooth video", "放大视频", "补帧"),
)
FINISH_FILES = {
    "FrameInterpolationModelLoader": {
        "name": INTERPOLATION,
        "url": f"{HUB}/frame_interpolation/resolve/main/frame_interpolation/{INTERPOLATION}",
        "directory": "frame_interpolation",
    },
    "UpscaleModelLoader": {
        "name": UPSCALER,
        "url": f"{HUB}/Real-ESRGAN_repackaged/resolve/main/{UPSCALER}",
        "directory": "upscale_models",
    },
}
"""By the class of the loader whose widget names a file: the file, where it can be downloaded, and ComfyUI's folder."""
FINISH_NOTE = "\n".join(
    (
        *("- [{name}]({url}) in `models/{directory}`".format(**file) for file in FINISH_FILES.values()),
        "\n1. Put **Load Video** in place of *Video*: a clip that this pack has saved, or any other.",
        "2. **frame rate multiplier**: 2 turns 16 frames per second into 32.",
        "3. **scale by**: scales the frames, which are upscaled four times; 0.5 gives twice the original size.",
        "\nThe audio is stored without loss, and the length stays the same. All frames are in memory at once: "
        "5 seconds at 736x736 take 8 GB while they are upscaled, so cut long videos first.",
    )
)


def finish() -> Graph:
    """A clip at twice its frame rate and size."""
    canvas = Canvas(FINISH)
    clip = canvas.source("UniAVGenToonClip", "Video", clip="toon_5")
    parts = canvas.add("GetVideoComponents", "Frames and audio", video=clip())
    times = canvas.add("PrimitiveInt", "Multiplier", value=2)()
    frames = interpolated(canvas, upscaled(canvas, parts(0)), times)
    fps = canvas.add(
        "ComfyMathExpression", "Frame rate", expression="a * b", values__a=parts(2), values__b=times
    )()  # fmt: skip
    canvas.source(
        "UniAVGenSaveVideo", "Save", images=frames, audio=parts(1), fps=fps, audio_format="flac",
        filename_prefix="video/uniavgen_finished",
    )  # fmt: skip
    return canvas.graph


def upscaled(canvas: Canvas, frames: Link) -> Link:
    """Add the upscaler."""
    upscaler = canvas.add("UpscaleModelLoader", "Load the upscaler", model_name=UPSCALER)()
    larger = canvas.add("ImageUpscaleWithModel", "Upscale", upscale_model=upscaler, image=frames)()
    return canvas.add("ImageScaleBy", "Resize", image=larger, upscale_method="lanczos", scale_by=0.5)()


def interpolated(canvas: Canvas, frames: Link, times: Link) -> Link:
    """Add frames between N frames, and hold the last of these.

    Interpolation makes (N - 1) * ``times`` + 1 frames. With the last one held for ``times`` - 1 more, they are as long
    as the clip and its audio.
    """
    model = canvas.add("FrameInterpolationModelLoader", "Load the interpolation model", model_name=INTERPOLATION)()
    smooth = canvas.add(
        "FrameInterpolate", "Interpolate", interp_model=model, images=frames, multiplier=times
    )()  # fmt: skip
    last = canvas.add("ImageFromBatch", "Last frame", image=frames, batch_index=-1, length=1)()
    more = canvas.add("ComfyMathExpression", "Frames to hold", expression="a - 1", values__a=times)(1)
    held = canvas.add("RepeatImageBatch", "Last frame, held", image=last, amount=more)()
    return canvas.add("ImageBatch", "All frames", image1=smooth, image2=held)()
