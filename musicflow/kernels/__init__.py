"""Arithmetic that is faster here than in torch: nothing of it knows of an embedder."""
