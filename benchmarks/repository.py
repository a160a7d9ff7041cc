"""What the floor clones."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(folder: Path) -> tuple[Path, str]:
    """A bare repository like the farm's own: its path and its only commit."""
    work, mirror = folder / "work", folder / "bench.git"
    git = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "init.defaultBranch=main")
    subprocess.run((*git, "init", "-q", str(work)), check=True)
    (work / ".farmgate.yml").write_text("jobs: {noop: {steps: ['true']}}\n")
    subprocess.run((*git, "-C", str(work), "add", "-A"), check=True)
    subprocess.run((*git, "-C", str(work), "commit", "-qm", "one"), check=True)
    subprocess.run((*git, "clone", "-q", "--bare", str(work), str(mirror)), check=True)
    sha = subprocess.run((*git, "-C", str(work), "rev-parse", "HEAD"), check=True, capture_output=True, text=True)
    return mirror, sha.stdout.strip()
