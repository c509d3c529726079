"""Registry files of every form: read, checked for what looks wrong, compared, and written. Pure."""
