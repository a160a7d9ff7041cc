"""Reading what jobs report: tests as JUnit XML, coverage, findings, components. Pure: from bytes to values.

Rules:
1. What is read was written by a stranger. Bytes come in pieces and are never whole in memory; texts, counts and depth
   have limits, and nothing is fetched or expanded: no entity, no document type of its own, nothing external.
2. A file that breaks off, or is not what it should be, is told in words with its place (`BadReport`); what was read
   before that place counts, and the report is not complete.
3. Nothing is guessed about a result: a test without a time took none, a rule without a level warns.
"""

from farmgate.reports.coverage import Coverage
from farmgate.reports.errors import BadReport
from farmgate.reports.results import Case, Finding, Outcome

__all__ = ["BadReport", "Case", "Coverage", "Finding", "Outcome"]
