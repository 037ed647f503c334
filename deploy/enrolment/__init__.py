"""How a school becomes a member: invite, request with public keys, approval, charter."""
