"""What Google's APIs have in common: one loopback server, errors, log-in, projects and the lookups
around a service.
"""
