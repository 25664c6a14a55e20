"""The web: the API, its streams, the dashboard, and who may use them."""
