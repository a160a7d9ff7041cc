"""Provenance: what says where something comes from, in words that other tools verify. Pure.

Rules:
1. A statement is in-toto's (v1) in a DSSE envelope (v1), signed with ECDSA over P-256 and SHA-256: what cosign, openssl
   and in-toto's libraries take.
2. What is signed is what was recorded; a row that says otherwise later is not what was signed, and is told in words.
"""
