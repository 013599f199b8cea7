"""One process of a campaign: Django on a database of its own, and chapters one after the other."""

import os
import signal
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

_done: Any = None
_folder: Path | None = None
_environment: dict[str, str] = {}


def begin(environment: dict[str, str], done: Any, folder: Path) -> None:
    """Called once in each process; `done` counts judged unlocks over all of them. A pool tries anew if this fails.

    `folder` is the parent's to remove: whatever a chapter keeps is in it, so that the process may end at any moment.
    """
    global _done, _folder
    _done, _folder = done, folder
    _environment.update(environment)
    # Ctrl-C is the parent's to handle; it then ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(seed: int, number: int, unlocks: int, broken: str) -> dict[str, Any]:
    """One chapter, as plain data."""
    _set_up()
    from bench.soak.campaign import run_chapter

    chapter = run_chapter(seed, number, unlocks, broken=broken, progress=_count, folder=_folder)
    return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(chapter).items()}


def run_rogues(seed: int, number: int) -> dict[str, Any]:
    """An attack by rogue devices, as plain data."""
    _set_up()
    from bench.soak.rogues import attack

    found = attack(number, seed=seed)
    counted = {"answers": dict(found.answers), "tried": dict(sorted(found.tried.items()))}
    return {**vars(found), **counted, "held": found.held}


@cache
def _set_up() -> None:
    """Django, on a migrated database that nobody else uses."""
    name = f"soak_{os.getpid()}"
    with psycopg.connect(_environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = urlsplit(_environment["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    os.environ.update(_environment | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"})

    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)


def _count(unlocks: int) -> None:
    with _done.get_lock():
        _done.value += unlocks


def in_memory() -> str | None:
    """A place in memory where there is one: the order of a journal's writes is real, its disk need not be."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
