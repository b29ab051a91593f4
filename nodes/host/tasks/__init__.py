"""Setup of the five tasks and of kept time spans."""
