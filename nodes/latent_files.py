"""Saving and loading of joint latents, which ComfyUI's own 'Save Latent' refuses because they are two in one."""

import comfy.model_management
from comfy_api.latest import io, ui

from ..uniavgen_core.shapes import SPATIAL_FACTOR
from .host.latent_choices import SUFFIX, latent_choices, name_in_output, path_of_latent
from .host.media.saved_names import check_prefix, free_path, workflow_tags
from .host.notices import UI_KEY, error_of, with_notices
from .host.sampling.joint_latent import split
from .host.sampling.saved_latents import check_saved_latent, read_latent, write_latent
from .sockets import aliases, filename_prefix_input


class SaveLatent(io.ComfyNode):
    """Saves a joint latent to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSaveLatent",
            display_name="UniAVGen Save AV Latent",
            category="UniAVGen/latent",
            search_aliases=aliases(
                "save latent, export latent, store latent, av latent, audio video latent, 保存 Latent"
            ),
            description="Saves a latent of video and audio as one file, with its noise masks and the workflow, to "
            "decode it or sample it further at another time. 'UniAVGen Load AV Latent' loads it.",
            inputs=[
                io.Latent.Input("latent", tooltip="Latent of video and audio, of any batch size."),
                filename_prefix_input("latents/uniavgen", "Save Latent"),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
            outputs=[
                io.String.Output(
                    display_name="latent_file", tooltip="Name of the file, as 'UniAVGen Load AV Latent' lists it."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> bool | str:
        """Report a name that no file can have, before the workflow runs."""
        return filename_prefix is None or error_of(check_prefix, str(filename_prefix)) or True

    @classmethod
    def execute(cls, latent: dict, filename_prefix: str) -> io.NodeOutput:
        rows, columns = split(latent)[0].shape[-2:]
        size = (columns * SPATIAL_FACTOR, rows * SPATIAL_FACTOR)
        with free_path(filename_prefix, size, SUFFIX) as (path, subfolder):
            notices = write_latent(path, latent, workflow_tags(cls.hidden))
        output = with_notices(notices, name_in_output(path))
        output.ui = {"latents": [ui.SavedResult(path.name, subfolder, io.FolderType.output)], UI_KEY: notices}
        return output


class LoadLatent(io.ComfyNode):
    """Loads a joint latent from a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLoadLatent",
            display_name="UniAVGen Load AV Latent",
            category="UniAVGen/latent",
            search_aliases=aliases(
                "load latent, import latent, open latent, av latent, audio video latent, 加载 Latent"
            ),
            description="Loads a latent saved by 'UniAVGen Save AV Latent', bit for bit, to decode it or to sample it "
            "further.",
            inputs=[
                io.Combo.Input(
                    "latent_file",
                    options=latent_choices(),
                    tooltip="Safetensors files in ComfyUI's output folder, marked [output], and in its input folder, "
                    "newest first. Press R to refresh the list.",
                )
            ],
            outputs=[io.Latent.Output(tooltip="Video and audio, and their noise masks if there are any.")],
        )

    @classmethod
    def validate_inputs(cls, latent_file: str | None = None) -> bool | str:
        """Report a file that is gone, damaged or no joint latent, before the workflow runs."""
        return latent_file is None or error_of(_check, str(latent_file)) or True

    @classmethod
    def fingerprint_inputs(cls, latent_file: str | None = None) -> tuple[int, int] | float:
        """Time of the last change and size of the file; equal to nothing if its name is linked and not known yet."""
        if latent_file is None:
            return float("nan")
        status = path_of_latent(latent_file).stat()
        return status.st_mtime_ns, status.st_size

    @classmethod
    def execute(cls, latent_file: str) -> io.NodeOutput:
        device = comfy.model_management.intermediate_device()
        return io.NodeOutput(read_latent(path_of_latent(latent_file), device))


def _check(name: str) -> None:
    check_saved_latent(path_of_latent(name))
