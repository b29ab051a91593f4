"""Templates for the official weights: graphs, files and a note."""

from collections.abc import Callable
from typing import Any

from uniavgen_core.tasks import JOINT

from .graph_studio import Box, Files, Graph, Studio
from .template_graphs import TALKING

RELEASE = Files(
    model="UniAVGen/ (folder)",
    text_encoder="umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    video_vae="wan2.2_vae.safetensors",
    vocoder="code2wav_bigvgan_model",
)
LORA = "Wan2_2_5B_FastWanFullAttn_lora_rank_128_bf16.safetensors"
FEW = 4
HUB = "https://huggingface.co"
REPOSITORY = "MCG-NJU/UniAVGen"
WEIGHTS = f"{HUB}/{REPOSITORY}"
SHARDS = "diffusion_pytorch_model*"
DOWNLOADS = tuple(
    f'hf download {REPOSITORY} --include "{pattern}" --local-dir models/{folder}'
    for pattern, folder in ((SHARDS, "diffusion_models/UniAVGen"), (f"{RELEASE.vocoder}/*", "vocoders"))
)
"""Commands that put what is needed of the release where the loaders look."""


RELEASED_FILES = {
    "UniAVGenLoadTextEncoder": {
        "name": RELEASE.text_encoder,
        "url": f"{HUB}/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/text_encoders/"
        f"{RELEASE.text_encoder}",
        "directory": "text_encoders",
    },
    "UniAVGenLoadVideoVAE": {
        "name": RELEASE.video_vae,
        "url": f"{HUB}/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/vae/{RELEASE.video_vae}",
        "directory": "vae",
    },
    "LoraLoaderModelOnly": {
        "name": LORA,
        "url": f"{HUB}/Kijai/WanVideo_comfy/resolve/main/FastWan/{LORA}",
        "directory": "loras",
    },
}
"""By the class of the loader whose widget names a file: the file, where it can be downloaded, and ComfyUI's folder."""


class ReleasedStudio(Studio):
    """The official weights with a picture and a sentence, at the size of the release's own examples."""

    preset = "release"

    def __init__(self, box: Box) -> None:
        super().__init__(box, "A person talks to the camera.", "Hello, it is good to see you.", RELEASE)

    def joint_task(self) -> Callable[[int], list[Any]]:
        """Add the picture and the task."""
        image = self.source("LoadImage", "Image", image="example.png")()
        return self.task(JOINT, image=image, seconds=0.0)


def released() -> Graph:
    """The release's own settings."""
    studio = ReleasedStudio(
        Box("Talking Person, Official Weights", "A talking video with the official weights.", TALKING)
    )
    return studio.after_task(studio.joint_task())


def released_few_steps() -> Graph:
    """A few-step LoRA of Wan2.2-TI2V-5B on the video branch, without guidance: one pass in each of a few steps."""
    studio = ReleasedStudio(
        Box("Talking Person in Few Steps", "A talking video with the official weights in four steps.", TALKING)
    )
    model = studio.add(
        "LoraLoaderModelOnly", "Few-step LoRA", model=studio.model, lora_name=LORA, strength_model=1.0
    )()  # fmt: skip
    task = studio.joint_task()
    guider = studio.add(
        "UniAVGenGuider", "No guidance", model=model, positive=task(0), negative=task(1), preset="custom",
        video_guidance=1.0, audio_guidance=1.0,
    )()  # fmt: skip
    steps = {"model": model, "scheduler": "simple", "steps": FEW, "denoise": 1.0}
    sampled = studio.sample_custom(guider, task(2), "BasicScheduler", **steps)
    return studio.decode(sampled, task(3))


RELEASED: dict[str, Callable[[], Graph]] = {"released": released, "released_few_steps": released_few_steps}


def released_note(kinds: set[str]) -> str:
    """Requirements of a graph with loaders of these classes, as Markdown."""
    lines = [
        "Choose your own picture in **Image**.\n",
        f"- The folder of [UniAVGen]({WEIGHTS}) with its `{SHARDS}.safetensors` and their index, as "
        "`models/diffusion_models/UniAVGen`",
        *(
            "- [{name}]({url}) in `models/{directory}`".format(**RELEASED_FILES[kind])
            for kind in RELEASED_FILES
            if kind in kinds
        ),
        f"- UniAVGen's folder `{RELEASE.vocoder}` in `models/vocoders`; without it, choose Griffin-Lim",
        "\nThe two folders, from a terminal in ComfyUI's folder (`hf` comes with the package `huggingface_hub`):\n",
        *(f"    {command}" for command in DOWNLOADS),
    ]
    if "LoraLoaderModelOnly" in kinds:
        lines.append(
            f"\n**Few steps:** *LoRA* takes any few-step LoRA of Wan2.2-TI2V-5B, *steps* {FEW} to 8. It acts on the "
            "video alone. There is no such LoRA for audio; if the audio suffers, use more steps.\n\n"
            "**Your own student**, trained with this pack (`docs/training.md`), covers both. Set *sampler* to *euler* "
            "for the method `consistency`, to *lcm* for `distribution`."
        )
    return "\n".join(lines)
