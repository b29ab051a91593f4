"""Steps of ComfyUI's main program before PyTorch is imported, for a process that loads models as ComfyUI does.

The main program loads comfy-aimdo, which manages memory dynamically, before PyTorch's own libraries, and PyTorch reads
the choice of its allocator only once. Therefore nothing here imports PyTorch.
"""

from importlib import import_module

from tools.pack import comfyui_arguments


def prepare_memory(device: str, classic: bool) -> bool:
    """Choose allocator and memory management, and return whether the dynamic one can be switched on.

    Args:
        device: Kind of device.
        classic: Do without dynamic memory management.

    Raises:
        ImportError: If ``COMFYUI_PATH`` does not lead to ComfyUI.
    """
    arguments = comfyui_arguments("bench card")
    arguments.cpu = device == "cpu"
    arguments.disable_dynamic_vram = classic
    dynamic = False
    if device == "cuda" and not classic:
        control = import_module("comfy_aimdo.control")
        dynamic = bool(control.init(nvml_pressure=True))
    if device == "cuda":
        import_module("cuda_malloc")  # ComfyUI: it chooses CUDA's own allocator where it works
    return dynamic
