"""Vulnerabilities of what is built and live: what OSV documents say, and which packages they mean. Pure.

Rules:
1. What cannot be told is told as such: an ecosystem without a way to compare versions, a version that is none. It is
   never 'not vulnerable'.
2. Versions are compared by libraries (univers, packaging), scores come from CVSS vectors by a library (cvss).
3. Documents are strangers' bytes: every text, list and number is bounded, and what is wrong is named with its place.
"""
