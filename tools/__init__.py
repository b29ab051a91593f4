"""What ``dev.py`` is made of: the environment, a ComfyUI server and its client, and one module per verb.

Nothing here is imported by the pack. Modules say in their first line when they use more than the standard library.
"""
