"""One file under two names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def link_or_copy(source: Path | str, target: Path | str) -> str:
    """A hard link takes no space and stays whole when the other name is removed; across file systems it takes a copy.

    Returns:
        The target, as `shutil.copytree` wants it.
    """
    Path(target).unlink(missing_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
    return str(target)
