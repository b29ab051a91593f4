"""The pack's loaders by the part that they load, and what their refusals must be like."""

import threading
import traceback

import pytest

from tests.nodes.encoders import encoder, sentencepiece_model, write_comfyui
from tests.vocos_folders import write_vocos

HANG_SECONDS = 60
LONGEST_MESSAGE = 1500
ADVICE = "weights_only=False"
"""What PyTorch advises in its own message, which would run code; ComfyUI logs errors with all their causes."""
RAW = ("Traceback", "object has no attribute", "NoneType", "KeyError", "weights_only", "not subscriptable", "0x7f")
"""Parts of messages that are of Python or PyTorch, and that tell a user nothing."""


class Loaders:
    """Loads files as the nodes do, and refuses to wait for ever."""

    def __init__(self, pack):
        host = pack.nodes.host
        self.family = pack.uniavgen_core.checkpoint.checked_files.CheckpointError
        self.by_part = {
            "model": host.model.load_model.load_uniavgen,
            "codec": host.media.video_vae_files.load_video_vae,
            "encoder": host.conditioning.umt5_clip.load_text_encoder,
            "vocos": self._vocoder,
            "bigvgan": self._vocoder,
        }
        self._loader = host.media.vocoder_loader

    def load(self, part, path):
        """Load a file or a folder."""
        return self.by_part[part](path if part in ("vocos", "bigvgan") else str(path))

    def refusal(self, part, path):
        """Message with which a file is refused; checks that it is one of the pack's, names the file, and is short."""
        errors = []
        thread = threading.Thread(target=lambda: errors.append(self._attempt(part, path)), daemon=True)
        thread.start()
        thread.join(HANG_SECONDS)
        assert errors, f"{part}: it neither loads nor is refused"
        assert errors[0] is not None, f"{part}: it loads"
        self.check(errors[0], path)
        return str(errors[0])

    def check(self, error, path):
        """Check that an error is one for a user."""
        if not isinstance(error, self.family):
            raise AssertionError(f"{type(error)}: {error}") from error
        message = str(error)
        names = [path.name, *(file.name for file in path.rglob("*")), *(file.name for file in path.parent.iterdir())]
        assert any(name in message for name in names if name), message
        assert len(message) < LONGEST_MESSAGE, message
        assert not any(part in message for part in RAW), message
        assert ADVICE not in "".join(traceback.format_exception(error))

    def error_of(self, part, path):
        """Type of the error of a refusal."""
        return type(self._attempt(part, path))

    def good(self, part, folder):
        """A sound file of a part, in a folder."""
        if part == "vocos":
            return write_vocos(folder / "vocos")
        model = sentencepiece_model()
        return write_comfyui(folder / "encoder.safetensors", encoder(420), model)

    def _vocoder(self, folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self._loader, "find_vocoder", lambda _: folder)
            return self._loader.load_vocoder(folder.name)

    def _attempt(self, part, path):
        try:
            self.load(part, path)
        except Exception as error:  # noqa: BLE001 - judged by the caller
            return error
        return None
