"""Loopback stand-ins of the clouds' APIs that really run the deployed service.

Never imported by pipeline or targets: they reach it through endpoint URLs only.
"""
