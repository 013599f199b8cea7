"""The daemon on each Raspberry Pi: commands from the cloud become evidence from a lock, or an honest refusal."""

__version__ = "2.0.0"
