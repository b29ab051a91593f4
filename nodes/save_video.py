"""Saving of a clip as a video file, in which the user's own media stay unchanged."""

import json
from pathlib import Path

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import InputImpl, io, ui

from .host.media.save_plan import AAC, AUTO, FLAC, LOSSLESS, Clip, SavePlan, plan_files, save_clip
from .host.media.source_media import SourceMedia, SourceMediaType
from .host.notices import UI_KEY, error_of, with_notices
from .sockets import aliases, float_input

SPACE = 32
"""Code of the first character that is no control character."""
LONGEST_NAME = 200
"""Bytes of a name, which leaves room for a number and an ending within the usual 255."""


class SaveVideo(io.ComfyNode):
    """Saves pictures and sound as a video file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSaveVideo",
            display_name="UniAVGen Save Video",
            category="UniAVGen/latent",
            search_aliases=aliases(
                "save video, export video, video combine, mux, create video, lossless, audio video, 保存视频, 合成视频"
            ),
            description="Saves frames and audio as a video. Your own media is preserved: a dubbed video's stream is "
            "copied, not encoded again, and your audio is stored without loss.",
            inputs=[
                io.Image.Input("images", tooltip="The frames, from 'UniAVGen Decode' or 'Get Video Components'."),
                io.Audio.Input("audio", optional=True, tooltip="The audio. Without it the video is silent."),
                SourceMediaType.Input(
                    "source_media",
                    optional=True,
                    tooltip="From 'UniAVGen Task' or 'UniAVGen Keep': which parts of the clip are your own. Without "
                    "it everything is encoded, and the file says that all of it was generated.",
                ),
                float_input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.001,
                    optional=True,
                    tooltip="Frames per second; 0 for the rate of your video, or else 16. 29.97 and the like become "
                    "exact fractions.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="video/uniavgen",
                    tooltip="Folder and start of the file name, in ComfyUI's output folder; may contain "
                    "%date:yyyy-MM-dd% and the like, as in 'Save Video'.",
                ),
                io.Combo.Input(
                    "audio_format",
                    options=[AUTO, FLAC, AAC],
                    default=AUTO,
                    optional=True,
                    tooltip="auto: FLAC (lossless) if the clip contains your own audio, AAC if all of it is "
                    "generated. AAC plays everywhere, including phones and social networks; your own audio is "
                    "then also saved as a .flac file beside the video.",
                ),
                io.Combo.Input(
                    "video_format",
                    options=[AUTO, LOSSLESS],
                    default=AUTO,
                    optional=True,
                    advanced=True,
                    tooltip="auto: the original stream if every frame is your own, else high-quality H.264 (CRF "
                    "12), in which your own frames lose a little. lossless: exact 8-bit RGB (H.264 RGB); large, "
                    "and few players show it.",
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
            outputs=[io.Video.Output(display_name="video", tooltip="The saved file.")],
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> bool | str:
        """Report a name that no file can have, before the workflow runs."""
        return filename_prefix is None or error_of(check_prefix, str(filename_prefix)) or True

    @classmethod
    def execute(
        cls,
        images,
        filename_prefix,
        audio=None,
        source_media: SourceMedia | None = None,
        fps=0.0,
        audio_format=AUTO,
        video_format=AUTO,
    ) -> io.NodeOutput:
        clip = Clip.of(images, audio, source_media or SourceMedia(), fps)
        plan = plan_files(clip, audio_format, video_format)
        path, subfolder = next_path(filename_prefix, clip, plan)
        notices = save_clip(plan, path, workflow_tags(cls.hidden))
        preview = ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.output)])
        output = with_notices(notices, InputImpl.VideoFromFile(str(path)))
        # Both keys are always set, because ComfyUI merges the outputs of a list of clips key by key.
        output.ui = {**preview.as_dict(), UI_KEY: notices}
        return output


def check_prefix(prefix: str) -> None:
    """Refuse the beginning of a name that no file in ComfyUI's output folder can have.

    Raises:
        ValueError: If it leads out of that folder, is too long or holds characters that names cannot have.
    """
    output, name = Path(folder_paths.get_output_directory()).resolve(), Path(prefix).name
    if any(ord(character) < SPACE for character in prefix):
        raise ValueError("filename_prefix holds characters that no file name can have. Type it again.")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"filename_prefix is {len(name.encode())} bytes long; at most {LONGEST_NAME} are possible.")
    if not (output / prefix).resolve().is_relative_to(output):
        raise ValueError(
            "filename_prefix leads out of ComfyUI's output folder, where files must stay. Leave out '..' and a path "
            "from the root."
        )


def next_path(prefix: str, clip: Clip, plan: SavePlan) -> tuple[Path, str]:
    """Path with the next free file name, and its folder within ComfyUI's output folder."""
    height, width = clip.images.shape[1:3]
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), width, height
    )
    return Path(folder) / f"{name}_{counter:05}_{plan.pictures.suffix}", subfolder


def workflow_tags(hidden) -> dict[str, str]:
    """Metadata that ComfyUI's own nodes save, such as the workflow; empty with --disable-metadata."""
    if args.disable_metadata or hidden is None:
        return {}
    values = dict(hidden.extra_pnginfo or {})
    if hidden.prompt is not None:
        values["prompt"] = hidden.prompt
    return {name: json.dumps(value) for name, value in values.items()}
