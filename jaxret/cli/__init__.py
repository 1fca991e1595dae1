"""What the commands share: flags made of option classes, errors in one line, the shell, tables of results."""
