"""Runs the demo: a recording, a stand-in backend and its contract. The product never imports it."""
