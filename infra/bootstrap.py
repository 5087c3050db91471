"""Make the environment: one folder .venv with everything that requirements.txt pins.

Called by every make target; does nothing when the environment is up to date. It must run on
any Python, however old, to be able to say that it is too old: no f-strings, no type hints.
"""

import hashlib
import os
import shutil
import subprocess
import sys

NEEDED = (3, 11)
FREE_GB_NEEDED = 4
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "nearline-ready")
REQUIREMENTS = os.path.join(ROOT, "requirements.txt")


def say(text):
    sys.stderr.write("nearline: " + text + "\n")
    sys.stderr.flush()


def stop(text):
    say(text)
    sys.exit(1)


def fingerprint():
    digest = hashlib.sha256()
    for name in ("requirements.txt", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as handle:
            digest.update(handle.read())
    return digest.hexdigest()


def is_ready():
    if not os.path.exists(STAMP) or not os.path.exists(PYTHON):
        return False
    with open(STAMP) as handle:
        return handle.read() == fingerprint()


def use_a_new_enough_python():
    if sys.version_info >= NEEDED:
        return
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        path = shutil.which(name) if hasattr(shutil, "which") else None
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        quiet = open(os.devnull, "w")
        if path and subprocess.call([path, "-c", check], stdout=quiet, stderr=quiet) == 0:
            os.execv(path, [path, os.path.abspath(__file__)])
    stop(
        "Python %d.%d or newer is needed; this is %s, and no newer one is on the PATH. "
        "Install Python 3.11 and run the same command again."
        % (NEEDED[0], NEEDED[1], sys.version.split()[0])
    )


def check_disk():
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < FREE_GB_NEEDED:
        stop(
            "only %.1f GB are free in %s and the environment needs %d GB. "
            "Free some space and run the same command again." % (free_gb, ROOT, FREE_GB_NEEDED)
        )


def pinned(package):
    with open(REQUIREMENTS) as handle:
        for line in handle:
            if line.startswith(package + "=="):
                return line.strip()
    stop("requirements.txt does not pin %s: restore the file (git checkout)" % package)


def wheel_folders():
    """Folders of wheels that pip is told of; uv has to be told as well."""
    told = os.environ.get("PIP_FIND_LINKS", "")
    asked = subprocess.Popen(
        [PYTHON, "-m", "pip", "config", "get", "global.find-links"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    told += " " + asked.communicate()[0].decode()
    return sorted({folder for folder in told.split() if os.path.isdir(folder)})


def run(what, command):
    code = subprocess.call(command, cwd=ROOT)
    if code != 0:
        stop(
            "%s failed (exit %d); what it said stands above. Most often the network or a proxy "
            "is in the way; once that is mended, run the same command again: it continues."
            % (what, code)
        )


def main():
    if is_ready():
        return
    use_a_new_enough_python()
    check_disk()
    say("1/3 making the environment in .venv (once; later runs start at once)")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if not os.path.exists(PYTHON) or subprocess.call([PYTHON, "-m", "pip", "-V"], **quiet) != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        if subprocess.call([sys.executable, "-m", "venv", VENV]) != 0:
            stop(
                "this Python cannot make virtual environments. On Debian and Ubuntu: "
                "apt install python3-venv; then run the same command again."
            )
    say("2/3 installing the pinned packages (about 3 GB; a minute or a few, by your network)")
    run(
        "installing uv",
        [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", pinned("uv")],
    )
    links = [part for folder in wheel_folders() for part in ("--find-links", folder)]
    uv = [PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON]
    # Compiled now, once: otherwise every process of every test compiles what it imports.
    packages = uv + links + ["--compile-bytecode", "-r", REQUIREMENTS]
    run("installing the packages", packages)
    say("3/3 installing nearline itself")
    run("installing nearline", uv + links + ["-q", "--no-deps", "-e", ROOT])
    with open(STAMP, "w") as handle:
        handle.write(fingerprint())
    say("the environment is ready")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("stopped; run the same command again to continue")
