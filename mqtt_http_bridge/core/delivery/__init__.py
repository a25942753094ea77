"""Decides what of the outbox is sent next, and when, and what an answer changes."""
