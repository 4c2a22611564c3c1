"""The command line. It holds no logic of its own."""
