"""Production does not start on what is good enough for a desk."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import DEVELOPMENT_SECRET
from deploy.stack.application import GOOGLE_ENVIRONMENT, SMS_ENVIRONMENT
from deploy.stack.check_deploy import HOST, production_environment

PROJECT = Path(__file__).resolve().parents[2]
GOOD = production_environment()
SHORT_KEY = base64.b64encode(bytes(range(16))).decode()
GOOD_KEY = base64.b64encode(bytes(range(32))).decode()
PLAIN_KEY = base64.b64encode(b"k" * 32).decode()
URLS = {
    "DATABASE_URL": "postgresql://app:{}@127.0.0.1:9/none",
    "REDIS_URL": "redis://:{}@127.0.0.1:9/0",
    "CELERY_BROKER_URL": "redis://:{}@127.0.0.1:9/1",
    "MQTT_URL": "mqtt://bridge:{}@127.0.0.1:9",
    "MQTT_ADMIN_URL": "mqtt://admin:{}@127.0.0.1:9",
}

REFUSED = [
    ({"ENVIRONMENT": "prod"}, "ENVIRONMENT must be"),
    ({"DEBUG": "1"}, "DEBUG is on"),
    ({"SECRET_KEY": ""}, "SECRET_KEY is the development default"),
    ({"SECRET_KEY": "too-short"}, "SECRET_KEY is the development default or shorter"),
    ({"SECRET_KEY": "changeme" * 1 + "a" * 40}, "SECRET_KEY is no random text"),
    ({"JWT_KEYS": "{}"}, "JWT_KEYS is empty"),
    ({"JWT_KEYS": ""}, "JWT_KEYS holds SECRET_KEY"),
    ({"JWT_KEYS": '{"a": "short"}'}, "JWT_KEYS[a]"),
    ({"JWT_KEYS": json.dumps({"new": "x7" * 40, "old": "short"})}, "JWT_KEYS[old]"),
    ({"JWT_KEYS": json.dumps({"a": "x7" * 40})}, "JWT_KEYS[a] is no random text"),
    ({"FIELD_KEYS": ""}, "FIELD_KEYS is not set"),
    ({"FIELD_KEYS": "{}"}, "FIELD_KEYS is not set"),
    ({"FIELD_KEYS": json.dumps({"a": SHORT_KEY})}, "FIELD_KEYS[a] is not the base64 of 32"),
    ({"FIELD_KEYS": json.dumps({"a": PLAIN_KEY})}, "FIELD_KEYS[a] is not the base64 of 32"),
    ({"FIELD_KEYS": json.dumps({"a$b": GOOD_KEY})}, "FIELD_KEYS[a$b]: a key's id"),
    ({"FIELD_KEYS": '{"a": "not base64!"}'}, "FIELD_KEYS[a] is not the base64 of 32"),
    ({"PUBLIC_URL": f"http://{HOST}"}, "PUBLIC_URL must be https"),
    ({"MQTT_PUBLIC_TLS": "0"}, "MQTT_PUBLIC_TLS"),
    ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must name the hosts"),
    ({"ALLOWED_HOSTS": ".example"}, "ALLOWED_HOSTS must name the hosts"),
    ({"ALLOWED_HOSTS": f".{HOST}"}, "ALLOWED_HOSTS must name the hosts"),
    ({"ALLOWED_HOSTS": "other.cartwise.example"}, "ALLOWED_HOSTS leaves out"),
    ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "TRUSTED_PROXIES: 0.0.0.0/0 believes strangers"),
    ({"TRUSTED_PROXIES": "11.0.0.0/8"}, "TRUSTED_PROXIES: 11.0.0.0/8 believes strangers"),
    ({"TRUSTED_PROXIES": "::/0"}, "TRUSTED_PROXIES: ::/0 believes strangers"),
    ({"TRUSTED_PROXIES": "10.0.0.1,proxy"}, "TRUSTED_PROXIES: proxy is neither"),
    ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES: 10.0.0.1/8 is neither"),
    ({"CSRF_TRUSTED_ORIGINS": "https://*.example"}, "CSRF_TRUSTED_ORIGINS"),
    ({"CORS_ALLOWED_ORIGINS": "http://shop.example"}, "CORS_ALLOWED_ORIGINS"),
    ({"CF_ACCESS_REQUIRED": "1"}, "CF_ACCESS_REQUIRED needs"),
    ({"CF_ACCESS_TEAM_URL": "https://team.example"}, "CF_ACCESS_TEAM_URL needs CF_ACCESS_AUDIENCES"),
    ({"CF_ACCESS_TEAM_URL": "http://team.example", "CF_ACCESS_AUDIENCES": "a"}, "CF_ACCESS_TEAM_URL must be https"),
    ({"SMS_API_KEY": ""}, "SMS_API_KEY is not set"),
    ({"SMS_BASE_URL": "http://127.0.0.1:8025"}, "SMS_BASE_URL must be https"),
    ({"EMAIL_USE_TLS": "0"}, "EMAIL_USE_TLS is off"),
    ({"RATE_LIMIT_FACTOR": "0"}, "RATE_LIMITS: anonymous sign-in must be a whole number above 0"),
    ({"RATE_LIMITS": '{"anonymous": {"write": 0}}'}, "RATE_LIMITS: anonymous write must be"),
    ({"RATE_LIMITS": '{"anonymous": {"write": "2"}}'}, "RATE_LIMITS: anonymous write must be"),
    ({"RATE_LIMITS": '{"robot": {"write": 1}}'}, "RATE_LIMITS: there is no robot write"),
    ({"RATE_LIMITS": '{"manager": {"wrote": 1}}'}, "RATE_LIMITS: there is no manager wrote"),
    ({"GOOGLE_CLIENT_ID": "cartwise"}, "GOOGLE_CLIENT_ID needs GOOGLE_CLIENT_SECRET"),
    ({"GOOGLE_TOKEN_URL": "http://127.0.0.1:8030/token"}, "GOOGLE_ACCESS_TOKEN_URL must be https"),
    *(({name: url.format("postgres-1234x")}, f"the password in {name} is the dev") for name, url in URLS.items()),
    *(({name: url.format("ab" * 12)}, f"the password in {name} is no random text") for name, url in URLS.items()),
    ({"REDIS_URL": "redis://:" + "%61" * 16 + "@127.0.0.1:9/0"}, "the password in REDIS_URL is no random text"),
    ({"MQTT_URL": f"mqtt://bridge:{DEVELOPMENT_SECRET}@127.0.0.1:9"}, "the password in MQTT_URL is the dev"),
    ({"SMS_API_KEY": "1234567"}, "SMS_API_KEY is that of a simulator or shorter"),
    ({"SMS_API_KEY": SMS_ENVIRONMENT["SMS_API_KEY"]}, "SMS_API_KEY is that of a simulator"),
    (
        {"EMAIL_HOST_USER": "us", "EMAIL_HOST_PASSWORD": "1234567"},
        "EMAIL_HOST_PASSWORD is that of a simulator or shorter",
    ),
    (
        {"GOOGLE_CLIENT_ID": "cartwise", "GOOGLE_CLIENT_SECRET": "1234567"},
        "GOOGLE_CLIENT_SECRET is that of a simulator",
    ),
    (GOOGLE_ENVIRONMENT, "GOOGLE_CLIENT_SECRET is that of a simulator"),
]


def run(command: list[str], changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in {**GOOD, **changes}.items() if value}
    command = [sys.executable, "-W", "ignore", *command]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)


def start(entry_point: str, changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run(["-c", f"import config.{entry_point}"], changes)


# What every entry point runs (below), without what else they load.
CHECK = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
from config.checks import require_production_is_configured
require_production_is_configured()
"""


@pytest.mark.parametrize("entry_point", ["asgi", "wsgi"])
def test_production_starts_when_it_is_configured(entry_point: str) -> None:
    started = start(entry_point, {})

    assert started.returncode == 0, started.stderr


@pytest.mark.parametrize(("changes", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_production_refuses_to_start_on(changes: dict[str, str], reason: str) -> None:
    refused = run(["-c", CHECK], changes)

    assert refused.returncode != 0
    assert reason in refused.stderr


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="as-it-is"),
        pytest.param({name: url.replace(":{}@", "@") for name, url in URLS.items()}, id="no-passwords"),
        pytest.param(
            {
                **{name: url.format("Zq3%2Fx8!kT5wLp0vR") for name, url in URLS.items()},
                **{"EMAIL_HOST_USER": "us", "EMAIL_HOST_PASSWORD": "grey-Otter", "SMS_API_KEY": "K4-92x7q"},
                **{"GOOGLE_CLIENT_ID": "cartwise", "GOOGLE_CLIENT_SECRET": "GOCSPX-5t"},
            },
            id="strong-ones",
        ),
    ],
)
def test_production_refuses_to_start_control(changes: dict[str, str]) -> None:
    started = run(["-c", CHECK], changes)

    assert started.returncode == 0, started.stderr


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-c", "import config.asgi"], id="web"),
        pytest.param(["-c", "import config.wsgi"], id="wsgi"),
        pytest.param(["-m", "celery", "-A", "config", "worker"], id="worker"),
        pytest.param(["-m", "celery", "-A", "config", "beat"], id="beat"),
        pytest.param(["manage.py", "run_mqtt_bridge"], id="bridge"),
    ],
)
def test_every_process_refuses(command: list[str]) -> None:
    refused = run(command, {"SECRET_KEY": ""})

    assert refused.returncode != 0
    assert "SECRET_KEY is the development default" in refused.stderr


def test_command_refuses() -> None:
    refused = run(["manage.py", "check"], {"SECRET_KEY": ""})

    assert refused.returncode != 0
    assert "cartwise.E001" in refused.stderr


def test_development_starts_on_its_defaults() -> None:
    started = start("wsgi", {"ENVIRONMENT": "development", "SECRET_KEY": "", "JWT_KEYS": "", "FIELD_KEYS": ""})

    assert started.returncode == 0, started.stderr


def test_deploy_check_finds_nothing() -> None:
    checked = run(["-m", "deploy.stack.check_deploy"], {})

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("setting", ["SECURE_SSL_REDIRECT"])
def test_deploy_check_control(setting: str) -> None:
    """It tells of a header that is left out."""
    checked = run(["manage.py", "check", "--deploy", "--fail-level", "WARNING"], {setting: "0"})

    assert checked.returncode != 0
    assert "security.W008" in checked.stderr


PRINT_FLAGS = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
from django.conf import settings
values = {name: getattr(settings, name) for name in dir(settings)}
print(json.dumps({name: value for name, value in values.items() if isinstance(value, bool | int)}))
"""


@pytest.fixture(scope="module")
def flags() -> dict[str, object]:
    found: dict[str, object] = json.loads(run(["-c", PRINT_FLAGS], {}).stdout)
    return found


@pytest.mark.parametrize(
    "flag",
    [
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "LANGUAGE_COOKIE_SECURE",
        "SESSION_COOKIE_HTTPONLY",
        "CSRF_COOKIE_HTTPONLY",
        "LANGUAGE_COOKIE_HTTPONLY",
        "SECURE_SSL_REDIRECT",
        "SECURE_HSTS_SECONDS",
        "SECURE_HSTS_INCLUDE_SUBDOMAINS",
    ],
)
def test_production_sends_nothing_in_the_open(flag: str, flags: dict[str, object]) -> None:
    assert flags[flag]
