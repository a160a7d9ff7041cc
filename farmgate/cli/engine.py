"""Which engine runs jobs on this machine.

Rules:
1. Docker where it answers. Where not, the reason in one line, so that running jobs as plain processes is never silent.
2. Docker's library is imported only when the question is asked.
"""

from __future__ import annotations

from pathlib import Path

DEFAULT_SOCKET = Path("/var/run/docker.sock")


def look_for_docker() -> str | None:
    """None if an engine answers, else why not, fit to be shown."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
    except DockerException as error:
        return _reason(error)
    try:
        client.ping()
    except (DockerException, OSError) as error:
        return _reason(error)
    finally:
        client.close()
    return None


def _reason(error: Exception) -> str:
    text, silent = str(error), "No Docker engine answers"
    if "FileNotFoundError" in text or "No such file" in text:
        return f"{silent}: {DEFAULT_SOCKET} is not there"
    if "PermissionError" in text or "Permission denied" in text:
        return f"This user may not use the Docker engine at {DEFAULT_SOCKET}{_way_in()}"
    if "refused" in text:
        return f"{silent}: nothing listens at {DEFAULT_SOCKET}"
    return f"{silent}: {text.splitlines()[0][:200]}"


def _way_in() -> str:
    """How a user comes to be allowed; empty if the socket is for root alone."""
    try:
        group = DEFAULT_SOCKET.group()
    except (OSError, KeyError):
        return ""
    return "" if group == "root" else f" (members of the group {group} may: usermod -aG {group} USER)"
