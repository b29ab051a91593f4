"""Figures of editing what exists: new lips in a video, the best of several takes, and long videos with given media.

New lips are generated in held-out toons, and compared with joint generation of the same toons. The best of four takes
is chosen as *UniAVGen Best Take* chooses it, and judged by other judges, on the bundled model and on the network of the
lively world. Long videos are made by a real ComfyUI. Finished clips, sentences and films are kept in the work folder
with the report, so that an interrupted run goes on with the same command.
"""

from .command import add_options, measure, table

__all__ = ["add_options", "measure", "table"]
