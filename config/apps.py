"""The composition as a Django app, so that its checks are there before any command runs."""

from importlib import import_module

from django.apps import AppConfig


class CompositionConfig(AppConfig):
    """Has no models; registers what `config.checks` checks."""

    name = "config"

    def ready(self) -> None:
        import_module("config.checks")
