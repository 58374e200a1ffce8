"""Folders of files: their format, their pairs of image and mask, their settings."""
