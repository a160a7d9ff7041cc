"""Write the JSON Schema of the pipeline file to the standard output."""

from __future__ import annotations

import sys

from farmgate.pipeline.schema import schema_text

sys.stdout.write(schema_text())
