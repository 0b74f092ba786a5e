"""States of jobs and of their items, for whoever asks which of them are over."""

FINISHED = ("completed", "failed", "cancelled")
"""A job that is over; only a retry takes it up again."""

OPEN_ITEM = ("queued", "running")
"""An item that something still has to happen to."""
