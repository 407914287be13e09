"""Widgets that return configs."""
