"""Lists and deletes the segments that long videos have left on disk."""

import time

from comfy_api.latest import io, ui

from .host.long_video.stored_runs import clear, stored_runs

LIST, CLEAR_OLD, CLEAR = "list", "delete those older than", "delete all"
DAY = 24 * 3600.0


class StoredSegments(io.ComfyNode):
    """Lists and deletes the segments of unfinished and kept long videos."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenStoredSegments",
            display_name="UniAVGen Stored Segments",
            category="UniAVGen/sampling",
            search_aliases=["long video", "clear cache", "disk space", "segments", "clean up"],
            description="Lists the segments that stopped or kept long videos have left in ComfyUI's output folder, and "
            "deletes them. Those of a video that is in use stay.",
            inputs=[
                io.Combo.Input(
                    "action",
                    options=[LIST, CLEAR_OLD, CLEAR],
                    default=LIST,
                    tooltip="list shows what is there. Deleting cannot be undone: a stopped video then starts over.",
                ),
                io.Int.Input("days", default=7, min=0, max=3650, tooltip="Age for 'delete those older than', days."),
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
        return io.NodeOutput(report, ui=ui.PreviewText(report))
