"""The check-up of imported pairs: what is wrong with them, and what to do."""
