"""The outside world: each module touches one thing, and none imports another."""
