"""Benchmarks: each prints figures of one run, and what counts is their ratio."""
