"""Build dist/gmm_spark-environment.tar.gz, for ``spark-submit --archives``: Python, and all that executors need.

The tools for this (venv-pack, ``uv venv --relocatable``) keep a link to the interpreter, which must then be at the
same path on every host. So this copies the interpreter that runs it, with its standard library. Executors run
``bin/python``, a launcher that finds the rest beside it, wherever the archive was unpacked. They need the kind of
processor of the host that built it, and its C library or a later one.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from build_zip import list_modules

# What executors need besides the package: the driver's versions, since arrays and tasks travel between them.
PACKAGES = ("numpy", "scipy", "pyarrow", "threadpoolctl")
NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LAUNCHER = f"""#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
LD_LIBRARY_PATH="$here/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
# Debian's Python does not look for packages there by itself.
PYTHONPATH="$here/lib/{NAME}/site-packages${{PYTHONPATH:+:$PYTHONPATH}}"
export LD_LIBRARY_PATH PYTHONPATH
exec "$here/bin/{NAME}" "$@"
"""


def copy_interpreter(environment: Path) -> None:
    """Copy the interpreter, its shared library if it has one, and the standard library."""
    (environment / "bin").mkdir(parents=True)
    (environment / "lib").mkdir()
    executable = os.path.realpath(sys.executable)
    shutil.copy2(executable, environment / "bin" / NAME)
    library = sysconfig.get_config_var("INSTSONAME")
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        shutil.copy2(Path(sysconfig.get_config_var("LIBDIR"), library), environment / "lib" / library)
    unneeded = shutil.ignore_patterns(
        *("site-packages", "dist-packages", "__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo"),
        *("ensurepip", "config-*", "EXTERNALLY-MANAGED"),
    )
    shutil.copytree(sysconfig.get_path("stdlib"), environment / "lib" / NAME, symlinks=False, ignore=unneeded)
    launcher = environment / "bin" / "python"
    launcher.write_text(_LAUNCHER)
    launcher.chmod(0o755)


def install_packages(environment: Path) -> None:
    """Install what executors need, and copy the package itself."""
    site = environment / "lib" / NAME / "site-packages"
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    pinned = [f"{name}=={version(name)}" for name in PACKAGES]
    subprocess.run([*installer, "--quiet", "--no-deps", "--target", str(site), *pinned], check=True)
    for tests in sorted(site.rglob("tests")):
        shutil.rmtree(tests, ignore_errors=True)
    for file, name in list_modules():
        target = site / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _make_anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = "root"
    return entry


def build(path: Path, level: int) -> None:
    """Write the archive; with the same interpreter, packages and level, the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        environment = Path(folder, "environment")
        copy_interpreter(environment)
        install_packages(environment)
        with (
            path.open("wb") as file,
            gzip.GzipFile("", "wb", level, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
        ):
            archive.add(environment, ".", filter=_make_anonymous)  # which sorts the names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build an environment for spark-submit --archives.")
    parser.add_argument("path", nargs="?", type=Path, default=Path("dist/gmm_spark-environment.tar.gz"))
    parser.add_argument("--level", type=int, default=6, help="of the compression, from 1 (quick) to 9 (small)")
    options = parser.parse_args()
    build(options.path, options.level)
    print(options.path)
