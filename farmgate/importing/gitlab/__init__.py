"""GitLab CI: `.gitlab-ci.yml`, with the files that it includes where they were given.

Rules:
1. `extends`, `default` and `!reference` are followed, as GitLab does; hidden jobs are only what others take from.
2. A stage is what the jobs of the stages before it are: needs, with their artifacts. `needs` wins.
3. `before_script`, `script` run in one shell: steps, as `farmgate.importing.commands` cuts them. A job that a person
   starts waits for a job that asks.

`file` has all files as one, `inheriting` what jobs take from each other, `order` stages and needs; `jobs` a job with
its `machine`, `conditions` (of `rules`), `limits`, and what it `keeps`; `variables` are GitLab's and the file's own.
"""

from __future__ import annotations

from farmgate.importing.gitlab.file import convert

__all__ = ["convert"]
