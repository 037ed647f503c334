"""Reports for the people who answer for a law or a contract: what it asks, what the logs show."""
