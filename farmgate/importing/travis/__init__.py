"""`.travis.yml`.

Rules:
1. Travis' combinations (versions x environments, and `jobs.include`) become one job with a matrix where they share their
   commands, else several jobs. Those that may fail are a job of their own: `allow_failure` is said of a job.
2. The phases of a job run in one shell at Travis: steps, as `farmgate.importing.commands` cuts them.
3. Stages become needs.

`file` has the whole file and the order of stages; `combinations` the jobs that Travis would make; `jobs` one job of
ours, with its `phases` and what stands `beside` them; `environment`, `conditions` and `languages` are what they say.
"""  # noqa: E501

from __future__ import annotations

from farmgate.importing.travis.file import convert

__all__ = ["convert"]
