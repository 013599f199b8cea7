"""One supervised process: started in its own session, its output kept in a bounded log, stopped with a deadline."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.stack.layout import ROOT

LOG_LIMIT_BYTES = 8 * 1024 * 1024
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Service:
    """What to run and how to know that it works."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    # Called until it returns True; a service without one counts as ready once it has been started.
    ready: Callable[[], bool] | None = None
    ready_within: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 10.0
    # A Unix account to run as, for servers that refuse root.
    user: str | None = None
    # A file the process writes when it is ready; removed before each start so that an old one proves nothing.
    ready_file: Path | None = None
    # Descriptors of the supervisor's that the process gets under the same numbers.
    inherited: tuple[int, ...] = ()
    # Does its work and ends: ready once it has ended well, and not started again.
    once: bool = False

    @property
    def ready_word(self) -> str:
        """What can be said of it once it counts as ready."""
        if self.once:
            return "is done"
        return "is up" if self.ready or self.ready_file else "was started"


class Process:
    """A running (or ended) instance of a service. Not thread-safe: the supervisor is one thread."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.started_at = 0.0
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.service.ready_file is not None:
            self.service.ready_file.unlink(missing_ok=True)
        # O_APPEND: the log can be cut in place while the process writes to it.
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.service.command,
                cwd=ROOT if self.service.user is None else "/",
                env={**os.environ, **self.service.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.service.inherited,
                user=self.service.user,
                group=None if self.service.user is None else _group_of(self.service.user),
                extra_groups=None if self.service.user is None else [],
                preexec_fn=_die_with(os.getpid(), self.service.stop_signal),  # noqa: PLW1509  single-threaded
            )
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll() if self._popen else None

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def is_ready(self) -> bool:
        if self.service.once:
            return self.exit_code == 0
        if not self.running:
            return False
        if self.service.ready_file is not None and not self.service.ready_file.exists():
            return False
        return self.service.ready is None or self.service.ready()

    def ask_to_stop(self) -> None:
        """Signal the leader alone: Celery's pool and PostgreSQL's backends are their parents' to stop."""
        if self._popen is not None and self.running:
            self._popen.send_signal(self.service.stop_signal)

    def kill_group(self) -> None:
        if self._popen is None:
            return
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # Gone already; macOS answers EPERM for a group of which only zombies are left.
            pass
        self._popen.wait()

    def bound_log(self) -> None:
        """Keep at most two files of LOG_LIMIT_BYTES; a few lines written during the cut may be lost."""
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
            os.truncate(self.log, 0)

    def log_tail(self, lines: int = 20) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as handle:
            handle.seek(max(0, self.log.stat().st_size - 16_384))
            return "\n".join(handle.read().decode(errors="replace").splitlines()[-lines:])


def _die_with(parent: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    """For the child: have the kernel send `death_signal` when the supervisor dies, even by SIGKILL (Linux only)."""
    if _libc is None:
        return None

    def in_child() -> None:
        assert _libc is not None
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid
