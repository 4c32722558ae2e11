"""Queries sampled from a schema, and the questions that ask for them."""
