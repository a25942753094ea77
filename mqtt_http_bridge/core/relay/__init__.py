"""Turns events into commands: keeps GX devices and their chargers, and decides when to measure."""
