"""`manage.py check --deploy` with the settings of a production that nobody runs: strong secrets made for this once."""

import base64
import json
import os
import secrets
import subprocess
import sys

from deploy.stack.layout import ROOT

HOST = "backoffice.cartwise.example"


def production_environment() -> dict[str, str]:
    """What a production sets; of this process's own variables only those that name no part of a stack."""
    return {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")},
        "ENVIRONMENT": "production",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "JWT_KEYS": json.dumps({"2026-01": secrets.token_urlsafe(48)}),
        "FIELD_KEYS": json.dumps({"2026-01": base64.b64encode(secrets.token_bytes(32)).decode()}),
        "PUBLIC_URL": f"https://{HOST}",
        "ALLOWED_HOSTS": HOST,
        "TRUSTED_PROXIES": "10.0.0.0/8",
        "MQTT_PUBLIC_TLS": "1",
        "SMS_BASE_URL": "https://sms.cartwise.example",
        "SMS_API_KEY": secrets.token_urlsafe(24),
        "EMAIL_HOST": "mail.cartwise.example",
        "EMAIL_USE_TLS": "1",
        # Checks ask none of them.
        "DATABASE_URL": f"postgresql://nobody:{secrets.token_urlsafe(24)}@127.0.0.1:9/none",
        "REDIS_URL": f"redis://:{secrets.token_urlsafe(24)}@127.0.0.1:9/0",
        "MQTT_URL": f"mqtt://bridge:{secrets.token_urlsafe(24)}@127.0.0.1:9",
        "MQTT_ADMIN_URL": f"mqtt://admin:{secrets.token_urlsafe(24)}@127.0.0.1:9",
    }


def main() -> None:
    """Exits with the command's own code."""
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    sys.exit(subprocess.run(command, cwd=ROOT, env=production_environment()).returncode)


if __name__ == "__main__":
    main()
