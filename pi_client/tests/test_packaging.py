"""The daemon as it is installed on a Pi: complete, and without anything of the cloud."""

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def test_built_package_runs_alone_and_knows_no_django(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("tests", "__pycache__", "build", "*.egg-info")
    shutil.copytree(PACKAGE, source, ignore=ignored)
    built = tmp_path / "built"
    build = "from setuptools import setup; setup()"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build, "-q", "build_py", "--build-lib", str(built)],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=60,
    )

    look = (
        "import sys; import pi_client.main; import pi_client.app;"
        "print(pi_client.__file__);"
        "print([name for name in ('django', 'config', 'core', 'devices') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", look], cwd=built, check=True, capture_output=True, text=True, timeout=60
    ).stdout.splitlines()

    assert said == [str(built / "pi_client" / "__init__.py"), "[]"]
