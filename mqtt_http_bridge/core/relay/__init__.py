"""The core: events in, commands out; GX devices, their chargers, and when to measure them."""
