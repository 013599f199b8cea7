"""`python -m deploy.stack up` and `python -m deploy.stack manage …`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.stack.application import Application
from deploy.stack.layout import AlreadyRunning, Layout, PortTaken, write_private
from deploy.stack.postgres import NoServiceAccount
from deploy.stack.servers import Servers
from deploy.stack.supervisor import StartFailed, StopRequested, Supervisor

# Only the role that owns the tables can do it; everything else runs as the application.
OWNERS_COMMAND = "migrate"


def main(arguments: list[str]) -> int:
    match arguments:
        case ["up"]:
            return up(Layout.from_environment(os.environ))
        case ["manage", *rest]:
            return manage(Layout.from_environment(os.environ), rest)
    sys.stderr.write(f"{__doc__}\n")
    return 2


def up(layout: Layout) -> int:
    """Start everything and stay until a signal comes. Returns the exit code."""
    layout.create()
    try:
        held = layout.lock()
    except AlreadyRunning:
        running = layout.read_run()
        where = f" at {running['web']} (pid {running['pid']})" if running else ""
        return _refuse(f"A stack already runs in {layout.var}{where}. Stop it, or give this one another VAR_DIR.")
    with held:
        layout.run_file.unlink(missing_ok=True)
        supervisor = Supervisor(layout.logs, say)
        supervisor.take_signals()
        try:
            _start(layout, supervisor)
            supervisor.watch()
        except (StartFailed, NoServiceAccount, PortTaken) as failure:
            return _refuse(str(failure))
        except StopRequested:
            pass
        finally:
            say("stopping")
            supervisor.stop()
            layout.run_file.unlink(missing_ok=True)
            say("stopped")
    return 0


def _start(layout: Layout, supervisor: Supervisor) -> None:
    servers = Servers.plan(layout, os.environ)
    if servers.cluster is not None and layout.var not in servers.cluster.home.parents:
        say(f"PostgreSQL's account cannot reach {layout.var}; its data is in {servers.cluster.home}")
    application = Application.plan(layout, servers, os.environ)
    supervisor.start(*servers.services())
    servers.create_database()
    if servers.cluster is None:
        say("DATABASE_URL is yours: all processes use that role, so they could change what the audit says about them")
    with_pi = os.environ.get("SIMULATED_PI") != "0"
    prepare = application.prepare(enrol=with_pi)
    if application.schema_is_current():
        supervisor.start(prepare, application.web(), *application.simulators())
    else:
        supervisor.start(prepare, *application.simulators())
        supervisor.start(application.web())
    prepared = application.take_prepared()
    write_private(layout.run_file, json.dumps(application.description(), indent=1))
    supervisor.start(application.bridge())
    supervisor.start(*application.background())
    if with_pi:
        application.write_pi_configuration(prepared["enrolment_code"])
        supervisor.start(application.simulated_pi())
    _show(prepared["addresses"])


def _show(addresses: dict[str, str]) -> None:
    say("")
    say(f"  customer  {addresses['customer']}")
    say(f"  manager   {addresses['manager']}")
    say(f"  admin     {addresses['admin']}")
    say("")
    say("Ctrl-C stops everything.")


def manage(layout: Layout, arguments: list[str]) -> int:
    """Run manage.py against the running stack, or on servers started for the time of the command.

    A database that has never been prepared is migrated and seeded first.
    """
    running = layout.read_run()
    if running is not None:
        return _manage(arguments, running["environment"], running["as_owner"])
    layout.create()
    try:
        held = layout.lock()
    except AlreadyRunning:
        return _refuse(f"A stack is starting or stopping in {layout.var}; try again in a moment.")
    with held:
        supervisor = Supervisor(layout.logs, say=lambda line: None)
        supervisor.take_signals()
        try:
            servers = Servers.plan(layout, os.environ)
            application = Application.plan(layout, servers, os.environ)
            supervisor.start(*servers.services())
            if servers.create_database():
                supervisor.start(application.prepare(enrol=False))
                application.take_prepared()
            return _manage(arguments, application.environment, application.as_owner)
        except (StartFailed, NoServiceAccount, PortTaken) as failure:
            return _refuse(str(failure))
        except StopRequested:
            return 130
        finally:
            supervisor.stop()


def _manage(arguments: list[str], environment: dict[str, str], as_owner: Mapping[str, str]) -> int:
    root = Path(__file__).resolve().parents[2]
    if arguments[:1] == [OWNERS_COMMAND]:
        environment = {**environment, **as_owner}
    # Only the command's own output: what the services log on the way is for the logs of a stack.
    environment = {"LOG_LEVEL": "WARNING", **os.environ, **environment}
    return subprocess.run([sys.executable, "manage.py", *arguments], cwd=root, env=environment).returncode


def _refuse(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
