"""A step cache, which skips calls of the network whose output hardly changes between steps."""

from comfy_api.latest import io

from .host.sampling.cached_sampling import patch_step_cache
from .sockets import share_input


def _threshold_input(name: str, modality: str) -> io.Input:
    return io.Float.Input(
        name,
        default=0.05,
        min=0.0,
        max=3.0,
        step=0.01,
        tooltip=f"A call of the network is skipped while the expected relative change of the {modality} since the last "
        "call is below this threshold, and that of the other is below its own. 0 skips nothing.",
    )


class StepCacheNode(io.ComfyNode):
    """Skips calls of the network while neither picture nor sound changes much."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenStepCache",
            display_name="UniAVGen Step Cache",
            category="UniAVGen/sampling",
            description="Makes sampling faster by leaving out calls of the network where neither picture nor sound is "
            "about to change by more than its own threshold.",
            inputs=[
                io.Model.Input("model", tooltip="A UniAVGen model."),
                _threshold_input("video_threshold", "picture"),
                _threshold_input("audio_threshold", "sound"),
                share_input("start_percent", 0.1, "Share of the sampling after which calls may be left out."),
                share_input("end_percent", 0.95, "Share of the sampling at which every call is run again."),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(
        cls, model, video_threshold: float, audio_threshold: float, start_percent: float, end_percent: float
    ) -> io.NodeOutput:
        thresholds = (video_threshold, audio_threshold)
        return io.NodeOutput(patch_step_cache(model, thresholds, start_percent, end_percent))
