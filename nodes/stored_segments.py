"""Lists and deletes the segments that long videos have left on disk."""

import time

from comfy_api.latest import io, ui

from .host.long_video.stored_runs import clear, stored_runs
from .host.notices import show_progress
from .sockets import aliases

LIST, CLEAR_OLD, CLEAR = "list", "delete_old", "delete_all"
DAY = 24 * 3600.0


class StoredSegments(io.ComfyNode):
    """Lists and deletes the segments of unfinished and kept long videos."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenStoredSegments",
            display_name="UniAVGen Stored Segments",
            category="UniAVGen/sampling",
            search_aliases=aliases("long video, clear cache, disk space, segments, clean up, 清理缓存"),
            description="Lists the segments that stopped or kept long videos have left in ComfyUI's output folder, "
            "and deletes them. Segments in use stay.",
            inputs=[
                io.Combo.Input(
                    "action",
                    options=[LIST, CLEAR_OLD, CLEAR],
                    default=LIST,
                    tooltip="list shows what is stored. Deleting cannot be undone: a stopped video then starts over.",
                ),
                io.Int.Input("days", default=7, min=0, max=3650, tooltip="Age in days for 'delete older than'."),
            ],
            is_output_node=True,
            outputs=[io.String.Output(display_name="report", tooltip="One line for each long video.")],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> float:
        """A new value each time: the disk changes without the graph."""
        return time.time()

    @classmethod
    def execute(cls, action: str, days: int) -> io.NodeOutput:
        runs, lines = list(stored_runs()), []
        if action != LIST:
            newest = time.time() - (days * DAY if action == CLEAR_OLD else 0.0)
            chosen = [run for run in runs if run.changed <= newest or action == CLEAR]
            lines.append(f"{clear(iter(chosen)) / 2**20:.1f} MiB freed.")
            runs = list(stored_runs())
        lines += [str(run) for run in runs] or ["No segments of long videos are stored."]
        report = "\n".join(lines)
        show_progress(report)  # the editor shows the text of ``ui`` on its own nodes only
        return io.NodeOutput(report, ui=ui.PreviewText(report))
