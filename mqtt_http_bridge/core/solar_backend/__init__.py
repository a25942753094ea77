"""Speaks the dialect of the Solar Backend API: what is sent, and what an answer means."""
