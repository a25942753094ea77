"""Many GX devices behind a clustered broker, and several relays that share them."""
