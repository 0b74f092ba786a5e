"""Tests: unit, integration (real parts) and e2e (real models)."""
