"""WSGI entry point: pages, admin and REST under gunicorn's threads in production."""

# ruff: noqa: E402 (Django must be set up first)
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_TIMEOUT_MS", "10000")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from config.checks import require_production_is_configured

require_production_is_configured()
