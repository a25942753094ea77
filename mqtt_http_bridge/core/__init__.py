"""Knows and decides: no clock, no thread, no file, no socket, no logging here."""
