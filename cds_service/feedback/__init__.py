"""What was shown, what clinicians did with it, and which tokens were used: remembered in SQLite or PostgreSQL."""
