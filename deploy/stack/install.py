"""Makes the virtualenv beside the Makefile, installs the locked requirements into it, and runs a verb with it.

Needs nothing but Python 3.11's standard library. A stamp with the requirements' checksum makes the second run install
nothing. Everything said goes to stderr: `make -s manage` prints only manage.py's output.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
RUN, DEV = ("requirements.txt",), ("requirements.txt", "requirements-dev.txt")
SYSTEM_PACKAGES = {"chromium": "chromium", "mosquitto": "mosquitto"}
APT_TIMEOUT_S = 300
CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".import_linter_cache", ".hypothesis", "staticfiles")


def main(verb: str, arguments: list[str]) -> None:
    """Run `verb`; does not return when the verb ends in another program."""
    os.chdir(ROOT)
    match verb:
        case "run":
            ensure_installed(RUN)
            become(arguments)
        case "dev":
            ensure_installed(DEV)
            become(arguments)
        case "test":
            ensure_installed(DEV)
            ensure_system_packages()
            become(["-m", "pytest", "-n", "2", "--dist", "loadgroup", *arguments])
        case "lint":
            ensure_installed(DEV)
            lint()
        case "lock":
            ensure_installed(DEV)
            lock()
        case "clean":
            clean()
        case _:
            sys.exit(f"unknown verb {verb!r}")


def become(arguments: list[str]) -> None:
    """Replace this process, so that make's signals reach the program itself."""
    sys.stderr.flush()
    os.execv(PYTHON, [str(PYTHON), *arguments])


def ensure_installed(requirements: tuple[str, ...]) -> None:
    """Install `requirements` unless the stamp says they are. Two makes at once take turns."""
    with (ROOT / requirements[0]).open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        stamp = VENV / f".installed-{requirements[-1]}"
        checksum = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in requirements)).hexdigest()
        if PYTHON.exists() and stamp.exists() and stamp.read_text() == checksum:
            return
        # A virtualenv without pip is what an interrupted first run leaves.
        if not PYTHON.exists() or subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode:
            make_venv()
        install(requirements)
        stamp.write_text(checksum)


def make_venv() -> None:
    say("making .venv")
    if subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True).returncode == 0:
        return
    # Debian keeps ensurepip in a package of its own; a pip outside can fill an empty virtualenv.
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
    run([sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "--quiet", "pip"])


def install(requirements: tuple[str, ...]) -> None:
    say(f"installing {', '.join(requirements)}")
    files = [part for name in requirements for part in ("-r", name)]
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--require-hashes"]
    uv = [str(PYTHON), "-m", "uv", "pip", "install", "--quiet", "--python", str(PYTHON), "--require-hashes"]
    uv += ["--compile-bytecode"]  # once here, instead of by six processes at the first start
    if subprocess.run([*pip, "-r", "requirements-uv.txt"], stdout=sys.stderr).returncode == 0:
        fast = subprocess.run([*uv, *files], capture_output=True, text=True)
        if fast.returncode == 0:
            return
        # pip knows mirrors and proxies from its own configuration, which uv does not read.
        say("uv could not install them, pip takes over (slower)")
    run([*pip, *files])


def ensure_system_packages() -> None:
    """Chromium and Mosquitto for the tests that use them: installed when root and apt allow, otherwise said."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    missing = [package for package, program in SYSTEM_PACKAGES.items() if shutil.which(program, path=search) is None]
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {', '.join(missing)} with apt-get")
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            subprocess.run(["apt-get", "update", "-qq"], capture_output=True, timeout=APT_TIMEOUT_S)
            done = subprocess.run(command, capture_output=True, timeout=APT_TIMEOUT_S, env=environment)
        except subprocess.TimeoutExpired:
            say("apt-get took too long")
        else:
            if done.returncode == 0:
                return
    say(f"{' and '.join(missing)} missing: the tests that need them are skipped")


def lint() -> None:
    """Run every check and fail at the end if one did."""
    python = str(PYTHON)
    templates = [str(path) for path in sorted(ROOT.glob("*/templates")) + [ROOT / "templates"] if path.is_dir()]
    pages = [str(path) for folder in templates for path in sorted(Path(folder).rglob("*.html"))]
    # Console scripts go through the interpreter: their first line may hold a path with a space. djade is a binary.
    checks = {
        "ruff": [python, "-m", "ruff", "check", "."],
        "format": [python, "-m", "ruff", "format", "--check", "."],
        "mypy": [python, "-m", "mypy", "."],
        "imports": [python, str(PYTHON.parent / "lint-imports")],
        # Models against migration files; the warning says that no database was asked.
        "migrations": [python, "-W", "ignore::RuntimeWarning", "manage.py", "makemigrations", "--check", "--dry-run"],
        "deploy": [python, "-m", "deploy.stack.check_deploy"],
        "djade": [str(PYTHON.parent / "djade"), "--check", "--target-version", "5.2", *pages],
        "djlint": [python, "-m", "djlint", "--lint", "--quiet", *templates],
    }
    failed = []
    for name, command in checks.items():
        say(f"lint: {name}")
        if (name not in ("djade", "djlint") or pages) and subprocess.run(command).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"lint failed: {', '.join(failed)}")


def lock() -> None:
    compile_ = [str(PYTHON), "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes", "--python-version", "3.11"]
    compile_ += ["--no-emit-index-url", "--no-header"]
    for name in ("requirements-uv", "requirements", "requirements-dev"):
        run([*compile_, f"{name}.in", "-o", f"{name}.txt"])


def clean() -> None:
    for name in CACHES:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for folder in ROOT.rglob("__pycache__"):
        if VENV not in folder.parents:
            shutil.rmtree(folder, ignore_errors=True)
    var = ROOT / (os.environ.get("VAR_DIR") or "var")
    if not (var / "lock").exists():
        return
    with (var / "lock").open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"a stack runs in {var}; stop it first")
        if (var / "postgres").is_symlink():
            shutil.rmtree((var / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(var)


def run(command: list[str]) -> None:
    """Run to the end, output on stderr; exits with the command's own code when it fails."""
    code = subprocess.run(command, stdout=sys.stderr).returncode
    if code:
        sys.exit(code)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the only voice of a script without logging


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)
