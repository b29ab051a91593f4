"""Setup of the tasks and of kept time spans."""
