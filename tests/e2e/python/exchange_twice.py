"""Asks twice for the token of a job, whose proof is replaced in between."""

import os
import sys

example, address, proof, next_proof = sys.argv[1:]
sys.path.insert(0, example)

import claviger_key
import claviger_proof

with claviger_key.connect(address) as channel:
    identity = claviger_proof.Identity(f"file:{proof}", channel)
    first = identity.token(10)
    os.replace(next_proof, proof)
    print("same" if identity.token(10) == first else "another")
