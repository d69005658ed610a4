"""Notices that are plain text in the layout of their sender, without a delivery status part: one file for each."""
