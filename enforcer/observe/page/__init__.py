"""The page that people look at: values in, one HTML document out. No clock, no socket, no file."""
