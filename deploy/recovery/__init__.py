"""Backups of a home: taken while it runs, checked before anything is restored, tried in drills."""
