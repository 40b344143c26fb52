"""Puzzles that never run out: seeded generators, verifiers, tools."""
