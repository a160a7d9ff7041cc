"""The JSON Schema of the pipeline file, for editors.

Generated: `python -m farmgate.pipeline > schemas/pipeline.schema.json`; a test fails when the file is stale.
"""

from __future__ import annotations

import json
from typing import Any

from farmgate.pipeline.file import PipelineFile


def schema() -> dict[str, Any]:
    """The schema of `.farmgate.yml` (JSON Schema 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://farmgate.invalid/pipeline.schema.json",
        **PipelineFile.model_json_schema(mode="validation"),
        "title": "Farmgate pipeline",
    }


def schema_text() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"
