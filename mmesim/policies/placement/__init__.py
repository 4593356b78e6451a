"""Placement policies: where a cold model goes."""
