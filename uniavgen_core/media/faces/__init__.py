"""Faces: detection, tracking over the frames of a clip, and masks."""
