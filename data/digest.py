"""The digest by which a file is known, whatever its name or place."""

import hashlib
from pathlib import Path


def digest_file(path: Path) -> str:
    """SHA-256 of the content, in hexadecimal; read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
