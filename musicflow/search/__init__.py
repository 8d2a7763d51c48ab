"""Search and recommendation, over any index."""
