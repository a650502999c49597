"""Greets people and prices greeting cards."""
