"""Videos longer than a clip, made segment by segment."""
