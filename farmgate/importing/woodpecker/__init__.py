"""Woodpecker: `.woodpecker.yml`, or several files in `.woodpecker/`.

Rules:
1. A file is a job, its steps are the job's steps, each in its own image where it differs from the first; they share the
   workspace, as they do there.
2. Where steps differ in when they run, each group that follows another condition is a job of its own, after those
   before it.
3. A plugin (a step with settings and no commands) is an image that is told what to do by variables: some are known, the
   others are left.

`file` has a file and its jobs, `conditions` when they run, `steps` a step, `plugins` those that are known, `beside` the
services and variables, `matrix` the combinations.
"""

from __future__ import annotations

from farmgate.importing.woodpecker.file import convert

__all__ = ["convert"]
