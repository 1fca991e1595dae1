"""Files and images that the server shows."""
