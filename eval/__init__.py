"""Running SQL safely, verdicts, metrics, reports."""
