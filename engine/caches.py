"""Folders of what can be made again: bounded, and deleted by anybody at any time."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


def bound(folder: Path, pattern: str, most: int) -> None:
    """Delete the oldest files of a name's pattern until the rest take `most` bytes. They only save time: a folder that
    cannot be tidied is told and fails no job.
    """
    try:
        files = [(status, path) for path in folder.glob(pattern) if (status := _status(path))]
        total = sum(status.st_size for status, _ in files)
        for status, path in sorted(files, key=lambda file: file[0].st_mtime):
            if total <= most:
                break
            path.unlink(missing_ok=True)
            total -= status.st_size
    except OSError as error:
        logger.warning("%s could not be bounded to %d bytes: %s", folder, most, error)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None  # another process bounds the same folder
