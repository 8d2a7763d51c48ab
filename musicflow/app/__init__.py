"""The app, to find music and to hear the answers, and its web API."""
