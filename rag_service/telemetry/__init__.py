"""Spans for OpenTelemetry: where the time of requests and documents went. Only there when it is asked for."""
