"""Messages: communicators, and what ranks wait for."""
