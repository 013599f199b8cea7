"""A mail server that takes every message into one inbox anybody can read."""
