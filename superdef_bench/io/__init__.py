"""Disk, screen and machine."""
