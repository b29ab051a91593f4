"""Files in ComfyUI's model folders."""

import folder_paths


def files_in(key: str) -> list[str]:
    """File names of a ComfyUI model folder; ComfyUI's cached list fails after one of its folders was removed."""
    try:
        return folder_paths.get_filename_list(key)
    except FileNotFoundError:
        folder_paths.filename_list_cache.pop(key, None)
        return folder_paths.get_filename_list(key)
