"""Keys of Travis that have nothing to say here."""

from __future__ import annotations

from typing import Final

NEEDLESS: Final = {
    "sudo": "steps run without root, in containers",
    "notifications": "Farmgate tells the commit's author and the forge by itself",
    "email": "Farmgate tells the commit's author and the forge by itself",
    "git": "each job has the whole repository at the commit",
    "group": "a choice of Travis' own machines",
    "version": "the version of Travis' own format",
    "virt": "a choice of Travis' own machines",
    "cache_directories": "see cache",
    "vm": "a choice of Travis' own machines",
    "filter_secrets": "values of secrets are always masked",
    "before_cache": "a cache keeps its folders as they are at the end",
    "x-ref": "an anchor's own place",
    "import": "not read",
}
