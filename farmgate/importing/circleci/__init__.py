"""CircleCI 2: `.circleci/config.yml`.

Rules:
1. A job is written once for each place of the workflows that runs it, with its parameters put in.
2. Commands of the file are put where they are called; of orbs, those that are a plain command are known, others are left.
3. The first image of `docker` is the job's, the others are services. What is persisted to the workspace is artifacts;
   who attaches it needs the job that made it.

`file` has the whole file, `workflows` who runs when, `parameters` what is put in; `jobs` a job with its `machine` and
its `steps`, `orbs` what is known of orbs.
"""  # noqa: E501

from __future__ import annotations

from farmgate.importing.circleci.file import convert

__all__ = ["convert"]
