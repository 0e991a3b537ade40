"""Aids for the review of rules: what no scenario reaches, what a change does, which slip nobody would notice."""
