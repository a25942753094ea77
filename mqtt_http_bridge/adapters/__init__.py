"""Talks to the outside world: each module handles one thing, and none imports another."""
