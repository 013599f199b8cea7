"""The web process on a port the supervisor holds."""

import http.client
import os
import signal
import socket
import sys

import pytest

from deploy.stack.layout import HOST, PortTaken, web_socket
from deploy.stack.process import Service
from deploy.stack.supervisor import Supervisor
from deploy.stack.tests.conftest import wait_until

ASK = b"GET /static/core/live.js HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def web_on(held: socket.socket) -> Service:
    def answers() -> bool:
        connection = http.client.HTTPConnection(*held.getsockname(), timeout=3)
        try:
            connection.request("GET", "/static/core/live.js")
            connection.getresponse()
        except OSError:
            return False
        else:
            return True
        finally:
            connection.close()

    command = (sys.executable, "-m", "deploy.stack.web", "--fd", str(held.fileno()))
    return Service(name="web", command=command, inherited=(held.fileno(),), ready=answers)


def test_web_keeps_its_port_and_its_callers_over_sigkill(supervisor: Supervisor) -> None:
    with web_socket({}) as held:
        supervisor.start(web_on(held))
        pid = supervisor.pids["web"]
        os.kill(pid, signal.SIGKILL)
        supervisor.tend()

        with socket.create_connection(held.getsockname(), timeout=30) as caller:
            caller.sendall(ASK)
            with pytest.raises(PortTaken):
                web_socket({"PORT": str(held.getsockname()[1])})
            wait_until(lambda: supervisor.pids["web"] != pid, doing=supervisor.tend)

            assert caller.recv(9) == b"HTTP/1.1 "


def test_two_stacks_that_start_at_once_get_a_port_each() -> None:
    with web_socket({}) as one, web_socket({}) as other:
        assert {one.getsockname()[0], other.getsockname()[0]} == {HOST}
        assert one.getsockname()[1] != other.getsockname()[1]
