"""The web page at `/`: asks, shows what answers rest on, and keeps the documents; all through the API."""
