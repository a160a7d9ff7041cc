"""How tests and jobs are called. Pure.

Rules:
1. A test is the same in the next run by its job's variant, suite, class, name and file; the key is a hash of these.
2. People call it by class and name, `tests.test_cart.TestCart.test_total`; suite and file are left out.
3. A variant is the job without its shard: `test (3.12) 2/4` belongs to `test (3.12)`.
"""

from __future__ import annotations

import hashlib
import re

_SHARD = re.compile(r" \d{1,3}/\d{1,3}$")


def key_of(variant: str, suite: str, class_name: str, name: str, file: str) -> str:
    """Rule 1."""
    return hashlib.sha256(f"{variant}\0{suite}\0{class_name}\0{name}\0{file}".encode()).hexdigest()[:40]


def called(class_name: str, name: str) -> str:
    """Rule 2."""
    return f"{class_name}.{name}" if class_name and not name.startswith(class_name) else name


def variant_of(job_name: str, is_shard: bool) -> str:
    """Rule 3."""
    return _SHARD.sub("", job_name) if is_shard else job_name
