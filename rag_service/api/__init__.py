"""HTTP: one router per noun, their schemas, and the one table from error to status."""
