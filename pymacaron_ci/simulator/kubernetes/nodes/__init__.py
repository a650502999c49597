"""Nodes: they take pods, run their containers and tell how those are."""
