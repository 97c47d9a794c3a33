"""Build dist/gmm_spark.zip, for ``spark-submit --py-files``: the package's modules and templates, nothing else.

The same modules give the same bytes, on every machine: files are sorted, have one date, and are not compressed.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The first that the format knows.
_DATE = (1980, 1, 1, 0, 0, 0)


def list_modules() -> Iterator[tuple[Path, str]]:
    """Yield the files of the package and their names in an archive: no caches, nothing that an editor left."""
    for path in sorted((ROOT / "gmm_spark").rglob("*")):
        if path.suffix in (".py", ".html", ".css") or path.name == "py.typed":
            yield path, path.relative_to(ROOT).as_posix()


def build(path: Path) -> None:
    """Write the zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file, name in list_modules():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3  # Unix, also if it is built elsewhere
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, file.read_bytes())


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "dist/gmm_spark.zip")
    build(target)
    print(target)
