"""GitHub Actions: what a runner tells a run, and is told by it. Nothing else knows GitHub."""
