"""Saving of a clip as a video file, in which the user's own media stay unchanged."""

from comfy_api.latest import InputImpl, io, ui

from .host.media.save_plan import AAC, AUTO, FLAC, LOSSLESS, Clip, plan_files, save_clip
from .host.media.saved_names import check_prefix, free_path, workflow_tags
from .host.media.source_media import SourceMedia, SourceMediaType
from .host.notices import UI_KEY, error_of, with_notices
from .sockets import aliases, filename_prefix_input, float_input


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
                filename_prefix_input("video/uniavgen", "Save Video"),
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
        with free_path(filename_prefix, clip.images.shape[2:0:-1], plan.pictures.suffix) as (path, subfolder):
            notices = save_clip(plan, path, workflow_tags(cls.hidden))
        preview = ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.output)])
        output = with_notices(notices, InputImpl.VideoFromFile(str(path)))
        # Both keys are always set, because ComfyUI merges the outputs of a list of clips key by key.
        output.ui = {**preview.as_dict(), UI_KEY: notices}
        return output
