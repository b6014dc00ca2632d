"""The harness of the async katas: pytest plugin, `kata` command and test kit."""
