"""Implementation of ``dev.py``: the environment, a ComfyUI server and its client, and one module per command.

The pack imports nothing from here. Modules that need more than the standard library say so in their docstring.
"""
