"""The code an authenticator app would show."""

import io

import pytest
from django.core.management import call_command


@pytest.mark.parametrize(("at", "code"), [(59, "287082"), (1111111109, "081804"), (2000000000, "279037")])
def test_code_is_that_of_the_standard(monkeypatch: pytest.MonkeyPatch, at: int, code: str) -> None:
    """The test vectors of RFC 6238, appendix B, cut to six digits."""
    monkeypatch.setattr("time.time", lambda: float(at))
    output = io.StringIO()

    call_command("totp_code", "GEZD GNBV GY3T QOJQ gezd gnbv gy3t qojq", stdout=output)

    assert output.getvalue().strip() == code
