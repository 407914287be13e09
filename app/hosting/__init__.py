"""What stands between a server and whoever reaches it: headers, names, messages, files, memory, and the log."""
