"""Tables, files and directories that jobs read and write."""
