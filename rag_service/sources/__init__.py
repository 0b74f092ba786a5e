"""Documents on their way in, whoever brings them: files, members of archives, lines of JSON."""
