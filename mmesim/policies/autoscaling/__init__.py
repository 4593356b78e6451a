"""Autoscaling policies: how many instances."""
