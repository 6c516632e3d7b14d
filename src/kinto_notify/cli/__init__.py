"""The commands of kinto-notify."""
