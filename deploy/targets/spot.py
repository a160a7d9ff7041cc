"""One of several hosts, as who runs instances there has to know it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spot:
    """Its name, the address that its instances are published on, and the ports that they may have."""

    host: str
    address: str
    first_port: int
    last_port: int

    def port(self, name: str, attempt: int) -> int:
        """One that is as good as drawn, and another for each attempt: which are free, only the far host knows."""
        drawn = hashlib.sha256(f"{name}/{attempt}".encode()).digest()
        return self.first_port + int.from_bytes(drawn[:8], "big") % (self.last_port - self.first_port + 1)
