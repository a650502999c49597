"""Cloud Run as its Admin API v2 shows it: services, revisions that really run, traffic that really
splits.
"""
