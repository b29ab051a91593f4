"""Makes the pictures of the README and of ``docs``: ``python -m tools.make_doc_pictures [TEMPLATE ...]``.

It runs inside the environment that ``dev.py`` makes. Every template of the bundled model runs in a real ComfyUI, as it
is in ``workflows/api``. Its result becomes a picture in ``docs/tasks``; that of the quick start also becomes
``docs/demo.mp4`` with its animated preview ``docs/demo.webp``, and the pictures of its face mask and its lip-sync.
"""

import json
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
from PIL import Image

from uniavgen_core.tasks import TASKS, Keep

from .clip_pictures import OwnMedia, frames_in_a_row, preview_frames, write_animation
from .comfy_client import ComfyClient
from .comfy_server import ComfyServer
from .contact_sheet import Clip, read_clip
from .demo_tasks import QUICK_START
from .environment import ROOT, current
from .template_titles import TITLES, api_file, graph_file
from .templates_with_files import WITH_FILES
from .workflow import Workflow, read_workflow, value_of

DOCS = ROOT / "docs"
EXAMPLES = ROOT / "uniavgen_core" / "assets" / "clips"
DEMO_SIDE, PLOT_WIDTH = 384, 720  # pixels
STILL = {"quality": 85, "method": 6}  # of WebP


def names_of_templates() -> list[str]:
    """Names of all templates that run without a download."""
    return [name for name in TITLES if name not in WITH_FILES]


def own_media(workflow: Workflow) -> OwnMedia:
    """The parts of a template's result that are the user's own, by its task or the inputs of its long video."""
    for node in workflow.values():
        if node["class_type"] == "UniAVGenRetake":
            return OwnMedia(0.0, math.inf, True)
        if node["class_type"] == "UniAVGenLongVideo":
            return OwnMedia(*(math.inf if name in node["inputs"] else 0.0 for name in ("video", "audio")))
        if node["class_type"] == "UniAVGenTask":
            task = TASKS[node["inputs"]["task"]]
            kept = {Keep.ALL: math.inf, Keep.START: _example_seconds(workflow)}
            return OwnMedia(kept.get(task.video, 0.0), kept.get(task.audio, 0.0), task.video is Keep.AROUND)
    return OwnMedia()


def _example_seconds(workflow: Workflow) -> float:
    """Length of the bundled clip that a template uses; 0 if it uses none."""
    for node in workflow.values():
        if node["class_type"] == "UniAVGenToonClip":
            return read_clip(EXAMPLES / f"{node['inputs']['clip']}.mp4").seconds
    return 0.0


def render(client: ComfyClient, workflow: Workflow, folder: Path) -> list[Path]:
    """Run a workflow, and fetch the files that it saves into a folder, in the order of their names."""
    saved = [file for file in client.run(workflow).files() if file["type"] == "output"]
    return sorted(client.download(file, folder / file["filename"]) for file in saved)


def with_measurements(workflow: Workflow) -> Workflow:
    """Copy of a workflow that also saves the predicted face mask over the frames, and the Sync Meter's plot."""
    numbers = {node["class_type"]: number for number, node in workflow.items()}
    sampler, decode = numbers["UniAVGenSampler"], numbers["UniAVGenDecode"]
    model, positive = (workflow[sampler]["inputs"][name] for name in ("model", "positive"))
    asked = {"model": model, "positive": positive, "latent": [sampler, 0], "sigma": 0.3, "layer": 0}
    shown = {"image": [decode, 0], "mask": ["face_mask", 0], "color": "blue", "opacity": 0.5}
    measured = {"images": [decode, 0], "audio": [decode, 1], "fps": 16.0, "mask_type": "face"}
    added = {
        "face_mask": ("UniAVGenShowFaceMask", asked),
        "overlay": ("UniAVGenMaskOverlay", shown),
        "save_overlay": ("SaveImage", {"images": ["overlay", 0], "filename_prefix": "face_mask"}),
        "sync_meter": ("UniAVGenSyncMeter", measured),
        "save_plot": ("SaveImage", {"images": ["sync_meter", 2], "filename_prefix": "sync_meter"}),
    }
    return {**workflow, **{name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in added.items()}}


def write_demo(clip: Clip, tags: dict[str, str], path: Path) -> None:
    """Write a clip at ``DEMO_SIDE`` as an mp4 that every browser plays.

    Args:
        clip: The clip.
        tags: Metadata, such as the mark of generated media and the graph.
        path: The file.
    """
    with av.open(str(path), "w", options={"movflags": "faststart+use_metadata_tags"}) as file:
        file.metadata.update(tags)
        video = file.add_stream("h264", rate=round(clip.fps), options={"crf": "18", "preset": "veryslow"})
        video.width, video.height, video.pix_fmt = DEMO_SIDE, DEMO_SIDE, "yuv420p"
        audio = file.add_stream("aac", rate=clip.sample_rate, layout="mono")
        audio.bit_rate = 96_000
        for pixels in clip.frames:
            picture = Image.fromarray(pixels).resize((DEMO_SIDE, DEMO_SIDE), Image.Resampling.LANCZOS)
            file.mux(video.encode(av.VideoFrame.from_image(picture)))
        file.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(clip.sound[None].astype(np.float32), format="fltp", layout="mono")
        samples.sample_rate = clip.sample_rate
        file.mux(audio.encode(samples))
        file.mux(audio.encode(None))


def demo_tags(path: Path, name: str) -> dict[str, str]:
    """Tags of the demo: those of a saved video that tell that it was generated, and the graph of a template.

    The graph is what the editor opens when the file is dropped onto its canvas; the saved video has the measurements'
    nodes in it.
    """
    with av.open(str(path)) as file:
        mark = {key: file.metadata[key] for key in ("digital_source_type", "comment")}
    graph = json.loads(graph_file(name).read_text(encoding="utf-8"))
    return mark | {"workflow": json.dumps(graph, separators=(",", ":"))}


def make_task_picture(client: ComfyClient, name: str, docs: Path) -> None:
    """Run a template and write the picture of its result; for the quick start, all its pictures."""
    workflow = read_workflow(api_file(name))
    is_demo = name == QUICK_START
    with tempfile.TemporaryDirectory(prefix="uniavgen-pictures-") as folder:
        files = render(client, with_measurements(workflow) if is_demo else workflow, Path(folder))
        (video,) = [path for path in files if path.suffix == ".mp4"]
        clip = read_clip(video)
        (docs / "tasks").mkdir(parents=True, exist_ok=True)
        frames_in_a_row(clip, own_media(workflow)).save(docs / "tasks" / f"{name}.webp", **STILL)
        if is_demo:
            write_demo(clip, demo_tags(video, name), docs / "demo.mp4")
            write_animation(preview_frames(clip, value_of(workflow, "transcript")), clip.fps, docs / "demo.webp")
            write_measurements(clip, files, docs)


def write_measurements(clip: Clip, files: list[Path], docs: Path) -> None:
    """Write the picture of a clip's face mask, and that of its lip-sync, from what `with_measurements` saves."""
    masked = [np.asarray(Image.open(path).convert("RGB")) for path in files if path.name.startswith("face_mask")]
    frames_in_a_row(replace(clip, frames=np.stack(masked)), OwnMedia()).save(docs / "face_mask.webp", **STILL)
    (plot,) = [Image.open(path) for path in files if path.name.startswith("sync_meter")]
    size = (PLOT_WIDTH, round(PLOT_WIDTH * plot.height / plot.width))
    plot.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(docs / "sync_meter.webp", **STILL)


def main(names: list[str]) -> int:
    """Make the pictures of the named templates, or of all."""
    with ComfyServer(current()) as server:
        for name in names or names_of_templates():
            print(name)
            make_task_picture(server, name, DOCS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
