"""What the commands share: errors in one line, the shell, tables of results."""
